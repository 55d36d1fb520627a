package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// examination is what a doctor looks at: a topology, and whether it runs here.
type examination struct {
	topo  *topology.Topology
	live  bool // this process runs it
	found []control.Finding
}

func (x *examination) ok(name, format string, v ...any) {
	x.found = append(x.found, control.Finding{Name: name, State: control.FindingOK, Text: fmt.Sprintf(format, v...)})
}

func (x *examination) warn(name, do, format string, v ...any) {
	x.found = append(x.found, control.Finding{Name: name, State: control.FindingWarn, Text: fmt.Sprintf(format, v...), Do: do})
}

func (x *examination) bad(name, do, format string, v ...any) {
	x.found = append(x.found, control.Finding{Name: name, State: control.FindingBad, Text: fmt.Sprintf(format, v...), Do: do})
}

// examine looks at the machine, and at what this topology wants of it. It changes nothing.
func examine(t *topology.Topology, live bool) []control.Finding {
	x := &examination{topo: t, live: live}
	x.runDir()
	x.space("state directory", t.Daemon.StateDir)
	x.limits()
	x.kernel()
	x.cgroup()
	x.clock()
	x.programs()
	x.ports()
	x.orphans()
	return x.found
}

func (x *examination) runDir() {
	const name = "run directory"
	dir := x.topo.Daemon.RunDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if parent := existing(dir); unix.Access(parent, unix.W_OK) != nil {
			x.bad(name, "choose another with --run-dir, or make it as root", "%s cannot be made: %s is not writable", dir, parent)
			return
		}
		x.ok(name, "%s will be made by the first start", dir)
		return
	case err != nil:
		x.bad(name, "choose another with --run-dir", "%s cannot be looked at: %v", dir, err)
		return
	case info.Mode().Perm()&0o077 != 0:
		x.bad(name, "chmod 700 "+dir, "%s is open to others (mode %o)", dir, info.Mode().Perm())
	case unix.Access(dir, unix.W_OK) != nil:
		x.bad(name, "start dsatd as its owner, or choose another with --run-dir", "%s is not writable", dir)
	default:
		x.ok(name, "%s", dir)
	}
	socket := filepath.Join(dir, control.SocketName)
	if _, err := os.Lstat(socket); err == nil && !x.live && !control.Answers(socket) {
		x.warn("control socket", "dsatd start: it takes back what still lives", "%s is left of a dsatd that was killed", socket)
	}
}

// existing is the nearest directory above that is there.
func existing(dir string) string {
	for dir != "/" && dir != "." {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// space tells how much is left for what is written.
func (x *examination) space(name, dir string) {
	const low, none = 1 << 30, 64 << 20
	var fs unix.Statfs_t
	if err := unix.Statfs(existing(dir), &fs); err != nil {
		x.bad(name, "choose another with --state-dir", "%s cannot be looked at: %v", dir, err)
		return
	}
	free := int64(fs.Bavail) * fs.Bsize
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		x.bad(name, "choose another with --state-dir", "%s is on a file system that is read-only", dir)
	case free < none, fs.Files > 0 && fs.Ffree < 100:
		x.bad(name, "make room, or choose another with --state-dir", "%s has %d MiB and %d files left: logs are lost, and no epoch can be raised", dir, free>>20, fs.Ffree)
	case free < low:
		x.warn(name, "make room, or bound the logs (log.max_size, daemon.logs_total)", "%s has %d MiB left", dir, free>>20)
	default:
		x.ok(name, "%s has %d MiB left", dir, free>>20)
	}
}

// What one instance and dsatd itself need of descriptors: pipes, sessions, what an exec holds for a moment.
const (
	filesEach = 6
	filesOwn  = 128
)

func (x *examination) limits() {
	instances := 0
	for _, s := range x.topo.Satellites {
		instances += s.Instances
	}
	var files, procs unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) != nil || unix.Getrlimit(unix.RLIMIT_NPROC, &procs) != nil {
		return
	}
	if need := uint64(filesOwn + filesEach*instances); files.Max < need {
		x.bad("open files", "LimitNOFILE= in the unit, or ulimit -Hn", "at most %d, and %d instances may need %d", files.Max, instances, need)
	} else {
		x.ok("open files", "at most %d, %d may be needed", files.Max, need)
	}
	if need := uint64(4 * instances); os.Geteuid() != 0 && procs.Cur < need {
		x.warn("processes", "ulimit -u, or TasksMax= in the unit", "this user may have %d with all threads, and %d instances may need %d", procs.Cur, instances, need)
	}
}

func (x *examination) kernel() {
	missing := supervisor.Kernel()
	for _, m := range missing {
		x.warn("kernel", "a newer kernel", "has no %s", m)
	}
	if len(missing) == 0 {
		x.ok("kernel", "has all that dsatd uses")
	}
	if v := bus.Version(); strings.HasPrefix(v, "4.") && v >= "4.2" {
		x.ok("libzmq", "%s", v)
	} else {
		x.warn("libzmq", "install libzmq 4.3", "%s is older than what dsat is tested with", v)
	}
}

func (x *examination) cgroup() {
	if dir, err := supervisor.Delegated(x.topo.Daemon.Cgroup); err != nil {
		x.warn("control groups", "Delegate=yes in the unit; without, sessions and the environment tell what belongs together, and limits of memory, cpu and pids cannot be set", "%v", err)
	} else {
		x.ok("control groups", "%s may be divided", dir)
	}
}

func (x *examination) clock() {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err == nil && (state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0) {
		x.warn("clock", "run chrony, systemd-timesyncd or ntpd", "is not synchronised: schedules and the times of logs follow it; deadlines and back-offs do not")
		return
	}
	x.ok("clock", "is synchronised")
}

func (x *examination) programs() {
	missing := supervisor.Missing(x.topo)
	for _, m := range missing {
		x.bad("program", "install it, or mend command or PATH of the satellite", "%s", m)
	}
	if len(missing) == 0 {
		x.ok("programs", "all are there")
	}
}

// ports tells what cannot be listened on, and what others on the network reach.
func (x *examination) ports() {
	if addr := x.topo.Daemon.HTTP; addr != "" && !x.live {
		x.bindable("status page", "tcp", addr)
	}
	for _, s := range x.topo.Satellites {
		for _, name := range s.Sockets {
			k := x.topo.Socket(name)
			network, addr, _ := strings.Cut(k.Listen, "://")
			if network != "tcp" || slices.ContainsFunc(x.found, func(f control.Finding) bool { return f.Name == "socket "+name }) {
				continue
			}
			if !x.live && !control.Answers(filepath.Join(x.topo.Daemon.RunDir, control.SocketName)) {
				x.bindable("socket "+name, network, addr)
			}
			if host, _, err := net.SplitHostPort(addr); err == nil {
				if ip, err := netip.ParseAddr(host); host == "" || err == nil && !ip.IsLoopback() {
					x.warn("socket "+name, "a firewall, or an address of 127.0.0.0/8, when that is not meant", "%s can be reached from other machines", k.Listen)
				}
			}
		}
	}
}

func (x *examination) bindable(name, network, addr string) {
	l, err := net.Listen(network, addr)
	switch {
	case err == nil:
		_ = l.Close()
		x.ok(name, "%s is free", addr)
	case control.Answers(filepath.Join(x.topo.Daemon.RunDir, control.SocketName)):
		x.ok(name, "%s is taken, most likely by the dsatd that runs", addr)
	default:
		x.bad(name, "end who has it (ss -ltnp), or choose another address", "%v", err)
	}
}

// orphans looks for processes of run directories without a dsatd.
func (x *examination) orphans() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	left := make(map[string]int)
	for _, e := range entries {
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue
		}
		for _, kv := range strings.Split(string(env), "\x00") {
			if dir, ok := strings.CutPrefix(kv, "DSAT_RUN="); ok && dir != "" {
				left[dir]++
			}
		}
	}
	for dir, n := range left {
		if (!x.live || dir != x.topo.Daemon.RunDir) && !control.Answers(filepath.Join(dir, control.SocketName)) {
			x.warn("orphans", "dsatd start with its topology takes them back; or kill them", "%d processes of %s have no dsatd", n, dir)
		}
	}
}

// doctor is `dsatd doctor`: for when no daemon runs that dsatctl could ask.
func doctor(args []string) int {
	var f startFlags
	fs := flags("doctor", "[--json] [FLAGS] [FILE...]")
	fs.StringVar(&f.runDir, "run-dir", "", "as of start")
	fs.StringVar(&f.stateDir, "state-dir", "", "as of start")
	asJSON := fs.Bool("json", false, "print the findings as JSON")
	files, code, ok := parse(fs, args)
	if !ok {
		return code
	}
	t, err := load(files)
	if err == nil {
		t, err = f.apply(t)
	}
	if err != nil {
		complain(err)
		return exitConfig
	}
	found := examine(t, false)
	if *asJSON {
		text, err := json.Marshal(found)
		if err != nil {
			complain(err)
			return exitFailed
		}
		fmt.Printf("%s\n", text)
	} else {
		printFindings(os.Stdout, found)
	}
	if slices.ContainsFunc(found, func(f control.Finding) bool { return f.State == control.FindingBad }) {
		return exitFailed
	}
	return exitOK
}

func printFindings(w io.Writer, found []control.Finding) {
	_, _ = io.WriteString(w, control.FindingsText(found))
}

// doctor answers GET /v1/doctor.
func (d *daemon) doctor(context.Context) []control.Finding { return examine(d.sup.Topology(), true) }
