package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func runit() manager {
	return manager{
		name: "runit", peer: true, end: syscall.SIGHUP,
		note: "runsvdir and a runsv for each child, without loggers: output goes where runsvdir's goes. A child that lived for less than a second is started a second later; nothing can be set. " +
			"Its files run name the child as their interpreter, so that no shell costs anything.",
		get: debian("runit", "usr/bin/runsvdir"),
		start: func(s stage) (command, error) {
			dir := filepath.Join(s.dir, "services")
			err := s.services(s.child[1], nil)
			// runsvdir waits for a folder that was changed in the second it looks at it.
			old := time.Now().Add(-time.Minute)
			return s.run(s.kit.program("runsvdir"), "-P", dir), errors.Join(err, os.Chtimes(dir, old, old))
		},
		status: func(s stage) command {
			argv := []string{s.kit.program("sv"), "status"}
			for i := range s.n {
				argv = append(argv, filepath.Join(s.dir, "services", fmt.Sprintf("idle-%d", i)))
			}
			return s.run(argv...)
		},
		up: linesWith("run: "),
	}
}

func s6() manager {
	start := func(s stage, arg string, more map[string]string) (command, error) {
		return s.run(s.kit.program("s6-svscan"), "-c", "1500", "-t", "0", filepath.Join(s.dir, "services")), s.services(arg, more)
	}
	return manager{
		name: "s6", peer: true, end: syscall.SIGTERM,
		note: "s6-svscan and an s6-supervise for each child, without loggers: output goes where s6-svscan's goes. Without readiness it starts a child again a second later, which is its default; " +
			"the children here tell their readiness on a descriptor (which costs them a write), and come back at once. Files run as with runit; s6-svstat asks for one child at a time.",
		get: debian("s6", "usr/bin/s6-svscan", supervisePath),
		start: func(s stage) (command, error) {
			return start(s, "3"+s.child[1], map[string]string{"notification-fd": "3\n"})
		},
		plain: func(s stage) (command, error) { return start(s, s.child[1], nil) },
		status: func(s stage) command {
			return s.run("/bin/sh", "-c", `for s in "$0"/*/; do s6-svstat "$s"; done`, filepath.Join(s.dir, "services"))
		},
		up: linesWith("up (pid "),
	}
}

// supervisePath lets s6-svscan look for s6-supervise in PATH: Debian's has the whole path built in, and nothing is to be
// installed there. The name without a path is what s6 is built with where there is no such folder.
func supervisePath(f *fetch, root string) error {
	path := filepath.Join(root, "usr/bin/s6-svscan")
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	built := []byte("/usr/bin/s6-supervise\x00")
	if n := bytes.Count(program, built); n != 1 {
		return fmt.Errorf("s6-svscan names /usr/bin/s6-supervise %d times: it cannot be run from elsewhere", n)
	}
	name := make([]byte, len(built))
	copy(name, "s6-supervise")
	return os.WriteFile(path, bytes.Replace(program, built, name, 1), 0o755)
}

const systemPython = "/usr/bin/python3" // Debian's packages are for Debian's Python

func supervisord() manager {
	return manager{
		name: "supervisord", peer: true, end: syscall.SIGTERM,
		note: "captures stdout and stderr, joined, into a file for each child. It looks for the dead once a second, which is its back-off too; nothing can be set.",
		get: debian("supervisor", "usr/bin/supervisord", func(f *fetch, root string) error {
			_, err := f.output(root, command{argv: []string{systemPython, filepath.Join(root, "usr/bin/supervisord"), "--version"}, env: debianEnv(root)})
			return err
		}),
		start: func(s stage) (command, error) {
			return s.run(systemPython, s.kit.program("supervisord"), "-c", filepath.Join(s.dir, "supervisord.conf")), s.write("supervisord.conf", supervisordConf(s), 0o600)
		},
		status: func(s stage) command {
			return s.run(systemPython, s.kit.program("supervisorctl"), "-c", filepath.Join(s.dir, "supervisord.conf"), "status")
		},
		up: supervisordUp,
	}
}

func supervisordConf(s stage) string {
	return strings.NewReplacer("DIR", s.dir, "COMMAND", strings.Join(s.child, " "), "COUNT", fmt.Sprint(s.n)).Replace(`[unix_http_server]
file = DIR/socket
[supervisord]
nodaemon = true
logfile = DIR/supervisord.log
pidfile = DIR/pid
childlogdir = DIR
minfds = 4096
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl = unix://DIR/socket
[program:idle]
command = COMMAND
process_name = %(process_num)d
numprocs = COUNT
redirect_stderr = true
autorestart = true
`)
}

// supervisordUp counts lines such as "idle:7   RUNNING   pid 12, uptime 0:00:01".
func supervisordUp(status string) int {
	n := 0
	for line := range strings.Lines(status) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "RUNNING" {
			n++
		}
	}
	return n
}

func processCompose() manager {
	client := func(s stage, words ...string) command {
		return s.run(append([]string{filepath.Join(s.kit.root, "process-compose"), "-L", filepath.Join(s.dir, "log"), "-u", filepath.Join(s.dir, "socket")}, words...)...)
	}
	return manager{
		name: "process-compose", peer: true, end: syscall.SIGTERM,
		note: "captures stdout and stderr, apart, into memory. Its back-off is a second at least, which is its default too.",
		get:  goBuild("process-compose", "github.com/f1bonacc1/process-compose", "v1.64.1", "/src"),
		start: func(s stage) (command, error) {
			file := fmt.Sprintf("version: \"0.5\"\nprocesses:\n  idle:\n    command: %q\n    replicas: %d\n    availability: { restart: always, backoff_seconds: 1 }\n", strings.Join(s.child, " "), s.n)
			return client(s, "up", "-t=false", "--disable-dotenv", "-f", filepath.Join(s.dir, "process-compose.yaml")), s.write("process-compose.yaml", file, 0o600)
		},
		status: func(s stage) command { return client(s, "process", "list", "-o", "json") },
		up:     processComposeUp,
	}
}

func processComposeUp(status string) int {
	var all []struct{ Status string }
	if json.Unmarshal([]byte(status), &all) != nil { // garbage is none
		return 0
	}
	n := 0
	for _, p := range all {
		if p.Status == "Running" {
			n++
		}
	}
	return n
}
