package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// startFlags are what `dsatd start` can be told; each wins over the topology's own value.
type startFlags struct {
	runDir   string
	stateDir string
	http     string
	httpSet  bool
	detach   bool
	verbose  bool
}

func start(args []string) int {
	var f startFlags
	fs := flags("start", "[FLAGS] [FILE...]")
	fs.StringVar(&f.runDir, "run-dir", "", "where the sockets and the record live (default /run/dsat/NAME or $XDG_RUNTIME_DIR/dsat/NAME)")
	fs.StringVar(&f.stateDir, "state-dir", "", "where the epoch and the logs live (default /var/lib/dsat/NAME or ~/.local/state/dsat/NAME)")
	fs.StringVar(&f.http, "http", "", "HOST:PORT of the HTTP listener; empty is the unix socket only")
	fs.BoolVar(&f.detach, "d", false, "go to the background; returns when the topology is ready")
	fs.BoolVar(&f.verbose, "v", false, "tell more")
	files, code, ok := parse(fs, args)
	if !ok {
		return code
	}
	fs.Visit(func(fl *flag.Flag) { f.httpSet = f.httpSet || fl.Name == "http" })
	files, err := findFiles(files)
	if err != nil {
		complain(err)
		return exitConfig
	}
	from, loaded, err := begin(files, f)
	if err != nil {
		complain(err)
		return exitConfig
	}
	if _, upgraded := os.LookupEnv(handoverEnv); f.detach && !detached() && !upgraded {
		return detach(loaded.Topology, args)
	}
	return runDaemon(from, loaded)
}

// args is the flags as they were given. Who is started with them has its own way to the background behind it.
func (f startFlags) args() []string {
	var args []string
	for _, flag := range []struct {
		name, value string
		given       bool
	}{{"--run-dir", f.runDir, f.runDir != ""}, {"--state-dir", f.stateDir, f.stateDir != ""}, {"--http", f.http, f.httpSet}} {
		if flag.given {
			args = append(args, flag.name, flag.value)
		}
	}
	if f.verbose {
		args = append(args, "-v")
	}
	return args
}

// begin reads what the daemon starts with: the files, and what was changed at run time under one that was killed. When those do
// not go together any more, the files are what counts.
func begin(files []string, f startFlags) (source, *topology.Loaded, error) {
	from := source{files: files, flags: f}
	loaded, err := from.read()
	if err != nil {
		return from, nil, err
	}
	from.name = loaded.Name
	for i := range from.files {
		if from.files[i], err = filepath.Abs(from.files[i]); err != nil {
			return from, nil, err
		}
	}
	over, err := loadRuntime(loaded.Daemon.RunDir)
	if err == nil && !over.Empty() {
		with := from
		with.over = over
		var again *topology.Loaded
		if again, err = with.read(); err == nil {
			return with, again, nil
		}
	}
	if err != nil {
		complain(fmt.Errorf("cannot take over what was changed at run time under the dsatd before; it is dropped: %w", err))
	}
	return from, loaded, nil
}

// apply settles the directories and the listener: flag, then environment (for the run directory), then topology, then the
// default of the place.
func (f startFlags) apply(topo *topology.Topology) (*topology.Topology, error) {
	out := *topo
	out.Daemon.RunDir = first(f.runDir, os.Getenv("DSAT_RUN_DIR"), topo.Daemon.RunDir, control.RunDir(topo.Name))
	out.Daemon.StateDir = first(f.stateDir, topo.Daemon.StateDir, control.StateDir(topo.Name))
	if f.httpSet {
		out.Daemon.HTTP = f.http
	}
	if err := topology.CheckListener(out.Daemon.HTTP); err != nil {
		return nil, err
	}
	for _, dir := range []*string{&out.Daemon.RunDir, &out.Daemon.StateDir} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return nil, err
		}
		*dir = abs
	}
	return &out, nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// runDaemon holds the run directory for as long as the daemon lives.
func runDaemon(from source, loaded *topology.Loaded) int {
	topo, level := loaded.Topology, slog.LevelInfo
	if from.flags.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(ownWords(topo.Daemon.Log, level))
	m, err := findManager(log)
	if err != nil {
		complain(err)
		return exitUsage
	}
	defer m.close()
	h := receiveHandover(log)
	lock, err := h.lockRunDir(topo.Daemon.RunDir)
	if err != nil {
		complain(err)
		if errors.Is(err, errBusy) {
			return exitBusy
		}
		return exitFailed
	}
	defer lock.release()
	reserveThreads()
	epoch, err := h.epoch(topo.Daemon.StateDir)
	if err != nil {
		complain(err)
		return exitFailed
	}
	if err := moveOwnLog(topo.Daemon.Log.File); err != nil {
		complain(err)
		return exitFailed
	}
	d, err := build(from, loaded, h, epoch, log)
	if err != nil {
		complain(err)
		return exitFailed
	}
	d.manager, d.lock = m, lock
	code := d.run()
	if code == exitOK {
		fmt.Fprintln(os.Stderr, "dsatd: ended as asked")
	}
	return code
}
