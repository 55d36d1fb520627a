package supervisor

import (
	"context"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/dsat/dsat/topology"
)

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become others")
	}
}

func pointer[T any](v T) *T { return &v }

// inquiry is a satellite that prints what the kernel knows of its process.
func inquiry(p topology.Process) *topology.Satellite {
	s := satelliteOf("asked", "", "")
	s.Command = []string{"/bin/sh", "-c", `cat /proc/self/status /proc/self/limits; echo umask $(umask); echo nice $(nice)
echo oom $(cat /proc/self/oom_score_adj); env; echo pid $$; ls /proc/self/fd | tr '\n' ' '; echo; echo end; exec sleep 1000`}
	s.Dir, s.Process = "/", p
	return s
}

// answers runs an inquiry and returns what was printed, with single blanks.
func answers(t *testing.T, s *topology.Satellite) (*rig, []string) {
	t.Helper()
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.line(ref("asked", 0), "end")
	var lines []string
	for _, l := range r.Logs([]topology.Ref{ref("asked", 0)}, 1000) {
		lines = append(lines, strings.Join(strings.Fields(l.Text), " "))
	}
	return r, lines
}

func contains(t *testing.T, lines []string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !slices.Contains(lines, w) {
			t.Errorf("no line %q in\n%s", w, strings.Join(lines, "\n"))
		}
	}
}

func TestTraits(t *testing.T) {
	r, lines := answers(t, inquiry(topology.Process{
		Umask: pointer[uint32](0o027), Nice: pointer(5), OOMScoreAdj: pointer(300), CPUAffinity: []int{0}, NoNewPrivs: true,
		Rlimits: topology.Rlimits{syscall.RLIMIT_NOFILE: {Soft: 64, Hard: 128}, syscall.RLIMIT_CORE: {}, syscall.RLIMIT_AS: {Soft: 1 << 28, Hard: 1 << 28}},
	}))
	contains(t, lines, "umask 0027", "nice 5", "oom 300", "Cpus_allowed_list: 0", "NoNewPrivs: 1", "Max open files 64 128 files",
		"Max core file size 0 0 bytes", "Max address space 268435456 268435456 bytes", "0 1 2 3")
	if st := r.status(ref("asked", 0)); !slices.Contains(lines, "pid "+strconv.Itoa(st.PID)) {
		t.Errorf("the shim is not the program: %+v", st)
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "DSAT_INSTANCE=asked:0") }) {
		t.Errorf("the environment got lost")
	}
}

// A child opens nothing: descriptor 3 is ls looking at its directory. Without traits the soft limit of open files is what dsatd was
// given, not what the Go runtime made of it.
func TestNoTraits(t *testing.T) {
	var plain, shimmed []string
	t.Run("by fork", func(t *testing.T) { _, plain = answers(t, inquiry(topology.Process{})) })
	t.Run("by shim", func(t *testing.T) { _, shimmed = answers(t, inquiry(topology.Process{Umask: pointer[uint32](0o022)})) })
	contains(t, plain, "0 1 2 3")
	for _, l := range plain {
		if strings.HasPrefix(l, "Max ") || strings.HasPrefix(l, "Cap") || strings.HasPrefix(l, "Sig") && !strings.HasPrefix(l, "SigQ") {
			contains(t, shimmed, l)
		}
	}
}

func TestUser(t *testing.T) {
	asRoot(t)
	for name, shim := range map[string]bool{"by fork": false, "by shim": true} {
		t.Run(name, func(t *testing.T) {
			p := topology.Process{User: "nobody", Groups: []string{"daemon", "44"}}
			if shim {
				p.Umask = pointer[uint32](0o077)
			}
			_, lines := answers(t, inquiry(p))
			contains(t, lines, "Uid: 65534 65534 65534 65534", "Gid: 65534 65534 65534 65534", "Groups: 1 44", "USER=nobody", "LOGNAME=nobody",
				"HOME=/nonexistent", "CapEff: 0000000000000000", "CapPrm: 0000000000000000")
		})
	}
	t.Run("number and group", func(t *testing.T) {
		_, lines := answers(t, inquiry(topology.Process{User: "54321", Group: "daemon"}))
		contains(t, lines, "Uid: 54321 54321 54321 54321", "Gid: 1 1 1 1", "USER=54321", "HOME=/")
	})
	t.Run("the environment of the file wins", func(t *testing.T) {
		s := inquiry(topology.Process{User: "nobody"})
		s.Env["HOME"] = "/srv"
		_, lines := answers(t, s)
		contains(t, lines, "HOME=/srv", "USER=nobody")
	})
}

func TestCapabilities(t *testing.T) {
	asRoot(t)
	t.Run("of nobody", func(t *testing.T) {
		_, lines := answers(t, inquiry(topology.Process{User: "nobody", Capabilities: []string{"net_bind_service", "kill"}}))
		const both = "0000000000000420"
		contains(t, lines, "Uid: 65534 65534 65534 65534", "CapEff: "+both, "CapPrm: "+both, "CapBnd: "+both, "CapAmb: "+both)
	})
	t.Run("of root", func(t *testing.T) {
		_, lines := answers(t, inquiry(topology.Process{Capabilities: []string{}}))
		contains(t, lines, "Uid: 0 0 0 0", "CapEff: 0000000000000000", "CapBnd: 0000000000000000")
	})
}

// What cannot be done is said in the words of the topology.
func TestRefusals(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*topology.Satellite)
		root   bool
		why    string
	}{
		"no such user":  {func(s *topology.Satellite) { s.Process.User = "nobdy" }, false, `cannot run as user "nobdy": there is no such user`},
		"no such group": {func(s *topology.Satellite) { s.Process.Group = "nogruop" }, false, `cannot run with group "nogruop": there is no such group`},
		"no account":    {func(s *topology.Satellite) { s.Process.User = "54321" }, false, "cannot run as user 54321: no account has this number"},
		"no program":    {func(s *topology.Satellite) { s.Command[0] = "/nowhere/x" }, false, "cannot execute /nowhere/x: no such file or directory"},
		"no directory":  {func(s *topology.Satellite) { s.Dir = "/nowhere" }, false, "cannot enter the directory /nowhere: no such file or directory"},
		"no processor": {func(s *topology.Satellite) { s.Process.CPUAffinity = []int{0, 1000} }, false,
			"cannot execute /bin/sh: cannot run on the processors of cpu_affinity: this machine, or dsatd's share of it, does not have 1000"},
		"too many files": {func(s *topology.Satellite) {
			s.Process.Rlimits[syscall.RLIMIT_NOFILE] = &topology.Rlimit{Soft: 5, Hard: topology.Unlimited}
		}, false, "cannot execute /bin/sh: cannot set nofile to 5:unlimited: operation not permitted"},
		"closed directory": {func(s *topology.Satellite) { s.Dir, s.Process.User = closed, "nobody" }, true,
			"cannot enter the directory " + closed + ": permission denied: "},
	} {
		for _, shim := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				if c.root {
					asRoot(t)
				}
				s := inquiry(topology.Process{})
				if shim {
					s.Process.Umask = pointer[uint32](0o022)
				}
				c.change(s)
				s.Restart.Limit = 2
				r := start(t, list(s))
				if err := r.Boot(context.Background()); err == nil {
					t.Error("Boot is content")
				}
				st := r.until(ref("asked", 0), "fatal", func(s InstanceStatus) bool { return s.State == Fatal })
				if !strings.HasPrefix(st.LastExit, c.why) {
					t.Errorf("%q, want %q", st.LastExit, c.why)
				}
				r.output.mu.Lock()
				defer r.output.mu.Unlock()
				if n := len(r.output.open); n != 0 {
					t.Errorf("%d pipes of what never ran are open", n)
				}
			})
		}
	}
}

// What only root may do fails for others, and the reason says who dsatd is.
func TestPowerless(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may do all of it")
	}
	who := " (dsatd runs as user " + strconv.Itoa(os.Geteuid()) + ", not as root)"
	for want, p := range map[string]topology.Process{
		"cannot execute /bin/sh as user 0 with group 0: operation not permitted" + who:             {User: "root"},
		"cannot execute /bin/sh: cannot set nice to -5: permission denied" + who:                   {Nice: pointer(-5)},
		"cannot execute /bin/sh: cannot become user 0 with group 0: operation not permitted" + who: {User: "root", Umask: pointer[uint32](0)},
		"cannot execute /bin/sh: cannot give up capabilities for ever, which no_new_privs = true makes needless: operation not permitted" + who: {
			Capabilities: []string{}},
		"cannot execute /bin/sh: cannot keep the capability kill: dsatd has not got it itself": {Capabilities: []string{"kill"}, NoNewPrivs: true},
	} {
		t.Run(want, func(t *testing.T) {
			s := inquiry(p)
			s.Restart.Limit = 2
			r := start(t, list(s))
			_ = r.Boot(context.Background()) // which tells the same
			st := r.until(ref("asked", 0), "fatal", func(s InstanceStatus) bool { return s.State == Fatal })
			if st.LastExit != want {
				t.Errorf("%q", st.LastExit)
			}
		})
	}
	t.Run("its own user is no change", func(t *testing.T) {
		me, err := user.Current()
		if err != nil {
			t.Skip("this user has no account: ", err)
		}
		_, lines := answers(t, inquiry(topology.Process{User: strconv.Itoa(os.Geteuid()), Capabilities: []string{}, NoNewPrivs: true}))
		contains(t, lines, "CapEff: 0000000000000000", "NoNewPrivs: 1", "LOGNAME="+me.Username)
	})
}

// An exit that comes while the shim is still on its way is told after what the shim says.
func TestPassageOrder(t *testing.T) {
	for _, early := range []bool{true, false} {
		for _, err := range []error{nil, os.ErrPermission} {
			var told []string
			executed := func() { told = append(told, "executed") }
			ended := func(e Exit) { told = append(told, e.String()) }
			p := &passage{}
			exit := func() {
				if e, ok := p.pass(Exit{Code: 126}); ok {
					ended(e)
				}
			}
			if early {
				exit()
			}
			p.settle(err, executed, ended)
			if !early {
				exit()
			}
			want := []string{"executed", "exit code 126"}
			if err != nil {
				want = []string{err.Error()}
			}
			if !slices.Equal(told, want) {
				t.Errorf("early %t, %v: told %q", early, err, told)
			}
		}
	}
}

func TestPassOn(t *testing.T) {
	own := []string{"A=1", "LC_ALL=C", "LC_TIME=x", "DSAT_RUN=/other", "B=", "PATH=/mine"}
	for names, want := range map[string]string{
		"A":        "PATH=/bin A=1",
		"A LC_*":   "PATH=/bin A=1 LC_ALL=C LC_TIME=x",
		"B Z PATH": "PATH=/mine B=",
		"*":        "PATH=/mine A=1 LC_ALL=C LC_TIME=x B=",
	} {
		if got := strings.Join(passOn([]string{"PATH=/bin"}, own, strings.Fields(names)), " "); got != want {
			t.Errorf("%s: %q, want %q", names, got, want)
		}
	}
}
