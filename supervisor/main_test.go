package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// The tests execute their own binary as the child: DSAT_ACT says what it does there.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "exec" { // a Supervisor's shim
		os.Exit(Exec(os.Args[2:]))
	}
	if act := os.Getenv("DSAT_ACT"); act != "" {
		play(act, os.Getenv("DSAT_ARG"))
		return
	}
	goleak.VerifyTestMain(m)
}

func pause() {
	for {
		time.Sleep(time.Hour)
	}
}

// play is the child.
func play(act, arg string) {
	switch act {
	case "pause":
		pause()
	case "exit":
		code, _ := strconv.Atoi(arg)
		os.Exit(code)
	case "say":
		fmt.Println(arg)
		pause()
	case "env":
		for _, kv := range os.Environ() {
			fmt.Println(kv)
		}
		dir, _ := os.Getwd()
		fmt.Println("cwd", dir)
		fds, _ := os.ReadDir("/proc/self/fd")
		for _, e := range fds {
			to, _ := os.Readlink("/proc/self/fd/" + e.Name())
			fmt.Println("fd", e.Name(), to)
		}
		fmt.Println("end")
		pause()
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("deaf")
		pause()
	case "flood":
		w := bufio.NewWriter(os.Stdout)
		for n := 0; ; n++ {
			fmt.Fprintf(w, "line %d %s\n", n, strings.Repeat("x", 100))
		}
	case "mute":
		os.Stdout.Close()
		os.Stderr.Close()
		pause()
	case "spill": // writes much and dies at once
		for n := range 5000 {
			fmt.Println("row", n)
		}
		os.Exit(3)
	case "family", "daemon":
		family(arg)
	case "serve":
		l, err := net.Listen("tcp", arg)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		_ = http.Serve(l, http.NotFoundHandler())
	case "answer": // says who it is on each connection to its first socket; ends after so many
		l, err := net.FileListener(os.NewFile(3, "listener"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		most, _ := strconv.Atoi(arg)
		for n := 0; most == 0 || n < most; n++ {
			c, err := l.Accept()
			if err != nil {
				os.Exit(1)
			}
			fmt.Fprintln(c, os.Getenv("DSAT_INSTANCE"), os.Getpid())
			c.Close()
		}
	case "datagram":
		buf := make([]byte, 1000)
		n, err := unix.Read(3, buf)
		fmt.Println("got", string(buf[:max(n, 0)]), err)
		pause()
	case "cat":
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			fmt.Println("got", in.Text())
		}
	case "dsatd":
		earlier(arg)
	case "dsatd-adopted":
		earlierAdopted(arg)
	case "count": // a line every few milliseconds; ends with code 5 when it is told to
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGUSR2)
		for n := 0; ; n++ {
			fmt.Println("n", n)
			select {
			case <-told:
				os.Exit(5)
			case <-time.After(3 * time.Millisecond):
			}
		}
	}
}

// family forks relatives and then does what "pause" or "exit" says: "child" stays in the session, "daemon" leaves it twice over,
// "hidden" also hides its environment.
func family(arg string) {
	then := "pause"
	for _, who := range strings.Split(arg, ",") {
		switch who {
		case "child":
			relative("deaf", false, os.Environ())
		case "daemon":
			relative("daemon", true, os.Environ())
		case "hidden":
			relative("deaf", true, nil)
		case "exit":
			then = "exit"
		}
	}
	fmt.Println("family complete")
	if then == "exit" {
		os.Exit(7)
	}
	pause()
}

// relative forks this binary once more. Of equal keys in an environment a Go program sees the first, so they are replaced; and none
// but a child of the test may have a family, so that no mistake grows without end.
func relative(act string, setsid bool, env []string) {
	arg := ""
	if act == "daemon" {
		act, arg = "daemon", "child,exit"
	}
	if os.Getenv("DSAT_DEPTH") == "2" {
		os.Exit(8)
	}
	depth := "1"
	if os.Getenv("DSAT_DEPTH") == "1" {
		depth = "2"
	}
	env = setenv(setenv(setenv(env, "DSAT_ACT", act), "DSAT_ARG", arg), "DSAT_DEPTH", depth)
	r, w, _ := os.Pipe()
	_, err := syscall.ForkExec("/proc/self/exe", []string{"relative"}, &syscall.ProcAttr{
		Env: env, Files: []uintptr{0, w.Fd(), w.Fd()}, Sys: &syscall.SysProcAttr{Setsid: setsid},
	})
	if err != nil {
		fmt.Println("cannot fork:", err)
		os.Exit(9)
	}
	w.Close()
	line, _ := bufio.NewReader(r).ReadString('\n') // it has set itself up
	fmt.Print("relative ", line)
}

// satelliteOf is a satellite whose process plays an act, with the defaults of topology shortened.
func satelliteOf(name, act, arg string) *topology.Satellite {
	return &topology.Satellite{
		Name: name, Command: []string{"/proc/self/exe"}, Env: map[string]string{"DSAT_ACT": act, "DSAT_ARG": arg},
		Speaks: topology.SpeaksNone, Instances: 1, Autostart: true,
		Ready: topology.Ready{Kind: topology.ReadySpawned},
		Restart: topology.Restart{
			Policy: topology.RestartAlways, SuccessCodes: []int{0}, Limit: 5, Window: time.Minute,
			Backoff: topology.Backoff{Initial: time.Millisecond, Factor: 2, Max: 10 * time.Millisecond, Reset: time.Minute},
		},
		Stop: topology.Stop{Signal: syscall.SIGTERM, Deadline: 10 * time.Second},
		Log:  topology.Log{Stdout: topology.LogCapture, Stderr: topology.LogJoined, To: []topology.LogSink{topology.LogFile}, MaxSize: 1 << 20, Keep: 2, Ring: 64 << 10},
	}
}

// rig is a running supervisor.
type rig struct {
	*Supervisor
	t       *testing.T
	changed chan struct{} // an event came
	ended   chan error
}

// Logs is what is in memory of the newest n lines.
func (r *rig) Logs(refs []topology.Ref, n int) []logs.Line {
	return slices.Collect(r.ReadLogs(r.t.Context(), logs.Query{Refs: refs, Newest: n}))
}

type option func(*Config)

func withBus(b Bus) option        { return func(c *Config) { c.Bus = b } }
func withRun(dir string) option   { return func(c *Config) { c.RunDir = dir } }
func withState(dir string) option { return func(c *Config) { c.StateDir = dir } }

func start(t *testing.T, sats []*topology.Satellite, opts ...option) *rig {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sats {
		if len(s.Command) > 0 && s.Command[0] == "/proc/self/exe" {
			s.Command[0] = self
		}
	}
	r := &rig{t: t, changed: make(chan struct{}, 1), ended: make(chan error, 1)}
	c := Config{
		Topology: &topology.Topology{Name: "test", Dir: t.TempDir(), Satellites: sats},
		RunDir:   t.TempDir(), StateDir: t.TempDir(), Epoch: 1, Self: self,
		Event: func(Event) {
			select {
			case r.changed <- struct{}{}:
			default:
			}
		},
	}
	for _, o := range opts {
		o(&c)
	}
	if r.Supervisor, err = New(c); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.Run(context.Background()) }()
	t.Cleanup(r.end)
	return r
}

func (r *rig) end() {
	r.Close()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
	if left := livingChildren(); len(left) > 0 {
		r.t.Errorf("children live after the supervisor has ended: %v", left)
	}
}

func livingChildren() []procStat {
	pids, _ := children(os.Getpid())
	var left []procStat
	for _, pid := range pids {
		if p, err := readStat(pid); err == nil && !p.dead() {
			left = append(left, p)
		}
	}
	return left
}

func (r *rig) status(ref topology.Ref) InstanceStatus {
	i := r.find(ref)
	if i == nil {
		r.t.Fatalf("there is no %s", ref)
	}
	return *i.status.Load()
}

// until waits for a status; events of changes wake it, and it looks again by itself.
func (r *rig) until(ref topology.Ref, what string, ok func(InstanceStatus) bool) InstanceStatus {
	r.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		st := r.status(ref)
		if ok(st) {
			return st
		}
		select {
		case <-r.changed:
		case <-time.After(20 * time.Millisecond): // a part of a status, such as when it is due, comes after its event
		case <-deadline:
			r.t.Fatalf("%s never was %s: %+v", ref, what, st)
		}
	}
}

// line waits for a line of output that has the prefix.
func (r *rig) line(ref topology.Ref, prefix string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for l := range r.Follow(ctx, logs.Query{Refs: []topology.Ref{ref}, Newest: 1000}) {
		if strings.HasPrefix(l.Text, prefix) {
			return l.Text
		}
	}
	r.t.Fatalf("%s never wrote %q; it is %+v", ref, prefix, r.status(ref))
	return ""
}

func ref(name string, wid int) topology.Ref { return topology.Ref{Name: name, WID: wid} }

func kill9(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("no process to kill: %d", pid)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
