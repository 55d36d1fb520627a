package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	floorName    = "C posix_spawn loop"
	dsatName     = "dsatd"
	dsatNoGroups = "dsatd-nocgroup"
)

// usualPeers are the managers that are measured beside the loop when nobody says otherwise.
var usualPeers = []string{dsatName, "runit", "s6", "supervisord", "process-compose"}

// manager is a supervisor under test.
type manager struct {
	name string
	note string // what it does with output, and what its back-off is
	// get brings its programs; nil: they are there. What it says goes into the report, and is no error of the bench.
	get func(*fetch) (kit, error)
	// start prepares its files, and says how it is started. Its back-off is as small as it can be.
	start func(stage) (command, error)
	// plain is the same with the back-off it has by default; nil: start's is that.
	plain func(stage) (command, error)
	// status asks for the status of all children; nil: it cannot be asked.
	status func(stage) command
	// up counts the children that are up, in what status says.
	up   func(status string) int
	end  syscall.Signal // ends it with all its children
	peer bool           // a stranger: its failure is told in the report
}

// kit is where a manager's programs are.
type kit struct {
	root    string
	version string
	env     []string
}

// stage is what a manager finds when it starts.
type stage struct {
	lab   *lab
	kit   kit
	dir   string // its own, empty
	n     int
	child []string // argv
}

// write makes a file, and the directory it is in.
func (s stage) write(name, text string, mode os.FileMode) error {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}

// run is a command with the environment of the kit.
func (s stage) run(argv ...string) command { return command{argv: argv, env: s.kit.env} }

// services makes a directory for each child, with a file run that names the child as its interpreter, so that no shell costs
// anything. more is further files, by name.
func (s stage) services(arg string, more map[string]string) error {
	for i := range s.n {
		dir := filepath.Join("services", "idle-"+strconv.Itoa(i))
		if err := s.write(filepath.Join(dir, "run"), "#!"+s.child[0]+" "+arg+"\n", 0o755); err != nil {
			return err
		}
		for name, text := range more {
			if err := s.write(filepath.Join(dir, name), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// managers are all there are, the floor first.
func managers() []manager {
	return []manager{
		{name: floorName, start: startFloor, end: syscall.SIGTERM, note: "captures nothing and has no back-off."},
		dsatd(dsatName, "", "captures stdout and stderr, joined, into memory and files; a control group for each child where it may make some. "+
			"By default the first restart is at once, the second after 100 ms."),
		dsatd(dsatNoGroups, "[daemon]\ncgroup = \"off\"\n", "the same without control groups."),
		runit(), s6(), supervisord(), processCompose(),
	}
}

// managersNamed are the floor and those that were asked for.
func managersNamed(names []string) ([]manager, error) {
	all := managers()
	found := all[:1:1]
	for _, name := range names {
		at := -1
		for i, m := range all[1:] {
			if m.name == name {
				at = i + 1
			}
		}
		if at < 0 {
			return nil, fmt.Errorf("-peers: there is no %q; there are %s, %s", name, strings.Join(usualPeers, ", "), dsatNoGroups)
		}
		found = append(found, all[at])
	}
	return found, nil
}

func startFloor(s stage) (command, error) {
	return s.run(append([]string{filepath.Join(s.lab.dir, "floor"), strconv.Itoa(s.n)}, s.child...)...), nil
}

func dsatd(name, head, note string) manager {
	start := func(restart string) func(stage) (command, error) {
		return func(s stage) (command, error) {
			// Each run begins without a record of the one before.
			if err := os.RemoveAll(filepath.Join(s.lab.dir, "state")); err != nil {
				return command{}, err
			}
			file := filepath.Join(s.dir, "bench.toml")
			return s.lab.dsatdStart(file), s.write("bench.toml", idleTopology(head, s.n, s.child, restart), 0o600)
		}
	}
	return manager{
		name: name, note: note, start: start(atOnce), plain: start(""), up: dsatdUp, end: syscall.SIGTERM,
		status: func(s stage) command {
			return s.run(filepath.Join(s.lab.bin, "dsatctl"), "--run-dir", s.lab.runDir(), "status")
		},
	}
}

func idleTopology(head string, n int, argv []string, restart string) string {
	return fmt.Sprintf("dsat = 1\n%s[satellite.idle]\ncommand = [%q, %q]\ninstances = %d\n%s", head, argv[0], argv[1], n, restart)
}

// dsatdUp reads the column INSTANCES, as in 5/5.
func dsatdUp(status string) int {
	for line := range strings.Lines(status) {
		if f := strings.Fields(line); len(f) > 3 && f[0] == "idle" {
			up, _, _ := strings.Cut(f[3], "/")
			n, _ := strconv.Atoi(up) // garbage is none
			return n
		}
	}
	return 0
}

// linesWith counts the lines that begin with a text.
func linesWith(prefix string) func(string) int {
	return func(text string) int {
		n := 0
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, prefix) {
				n++
			}
		}
		return n
	}
}
