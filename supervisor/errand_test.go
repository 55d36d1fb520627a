package supervisor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// stubborn is a satellite that says which signals it got, and ends by USR1 only.
func stubborn(command ...string) *topology.Satellite {
	s := satelliteOf("stubborn", "", "")
	s.Command = []string{"/bin/sh", "-c", `trap 'echo got INT' INT; trap 'echo got TERM' TERM; trap 'echo bye; exit 0' USR1; echo up; while :; do sleep 0.01; done`}
	s.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "^up$", Deadline: 30 * time.Second}
	s.Stop.Deadline = 30 * time.Second
	if len(command) > 0 {
		s.Stop.Command = append([]string{"/bin/sh", "-c"}, command...)
	}
	return s
}

// ends stops a satellite and returns what it printed, and its pid.
func ends(t *testing.T, s *topology.Satellite) (lines []string, pid int, last InstanceStatus) {
	t.Helper()
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	who := ref(s.Name, 0)
	pid = r.status(who).PID
	res, err := r.Stop(context.Background(), []topology.Ref{who})
	if err != nil || res[0].Err != nil || res[0].State != Stopped {
		t.Fatalf("%+v %v", res, err)
	}
	if left := livingChildren(); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
	for _, l := range r.Logs([]topology.Ref{who}, 1000) {
		lines = append(lines, l.Text)
	}
	return lines, pid, r.status(who)
}

func TestStopCommand(t *testing.T) {
	t.Run("in place of the signal", func(t *testing.T) {
		s := stubborn(`echo "stop $DSAT_PID of $DSAT_INSTANCE as $(umask) in $WHERE"; kill -USR1 $DSAT_PID`)
		s.Env["WHERE"] = "here ${instance}"
		mask := uint32(0o077)
		s.Process.Umask = &mask
		lines, pid, last := ends(t, s)
		want := []string{"up", fmt.Sprintf("stop %d of stubborn:0 as 0077 in here 0", pid), "bye"}
		if !slices.Equal(lines, want) || last.LastExit != "exit code 0" {
			t.Errorf("%q, want %q; %+v", lines, want, last)
		}
	})
	t.Run("the stop ends with it", func(t *testing.T) {
		lines, _, _ := ends(t, stubborn(`kill -USR1 $DSAT_PID; sleep 0.1; echo done`))
		if !slices.Equal(lines, []string{"up", "bye", "done"}) {
			t.Errorf("%q", lines)
		}
	})
	t.Run("what it leaves behind is gone", func(t *testing.T) {
		ends(t, stubborn(`setsid setsid sleep 1000 & sleep 1000 & kill -USR1 $DSAT_PID`))
	})
}

// A stop command that fails is followed by the first signal, at once.
func TestStopCommandFails(t *testing.T) {
	for name, command := range map[string][]string{
		"code": {"/bin/sh", "-c", "exit 3"}, "not there": {"/nowhere/stop"}, "not in PATH": {"no-such-program"},
	} {
		t.Run(name, func(t *testing.T) {
			s := stubborn()
			s.Stop.Command, s.Stop.Signal = command, unix.SIGUSR1
			if lines, _, last := ends(t, s); !slices.Equal(lines, []string{"up", "bye"}) || last.LastExit != "exit code 0" {
				t.Errorf("%q %+v", lines, last)
			}
		})
	}
}

// A stop command that hangs dies with the process at the deadline, or when somebody is in a hurry.
func TestStopCommandHangs(t *testing.T) {
	t.Run("deadline", func(t *testing.T) {
		s := stubborn("echo asked; sleep 1000")
		s.Stop.Deadline = 100 * time.Millisecond
		if _, _, last := ends(t, s); last.LastExit != "killed by signal 9 (SIGKILL)" {
			t.Errorf("%+v", last)
		}
	})
	t.Run("kill", func(t *testing.T) {
		s := stubborn("echo asked; sleep 1000")
		r := start(t, list(s))
		if err := r.Boot(context.Background()); err != nil {
			t.Fatal(err)
		}
		who := ref("stubborn", 0)
		r.find(who).post(event{kind: evStop})
		r.line(who, "asked")
		r.KillAll()
		if st := r.status(who); st.State != Stopped {
			t.Errorf("%+v", st)
		}
		if left := livingChildren(); len(left) > 0 {
			t.Errorf("left behind: %+v", left)
		}
	})
}

func TestStopSequence(t *testing.T) {
	s := stubborn()
	s.Stop.Signal = unix.SIGINT
	s.Stop.Signals = []topology.StopSignal{
		{Signal: unix.SIGINT}, {Signal: unix.SIGTERM, After: 400 * time.Millisecond}, {Signal: unix.SIGUSR1, After: 800 * time.Millisecond},
	}
	if lines, _, last := ends(t, s); strings.Join(lines, ",") != "up,got INT,got TERM,bye" || last.LastExit != "exit code 0" {
		t.Errorf("%q %+v", lines, last)
	}
}

// With a command, later signals come at their times whatever it does.
func TestStopCommandAndSequence(t *testing.T) {
	s := stubborn("echo asked")
	s.Stop.Signals = []topology.StopSignal{{Signal: unix.SIGTERM}, {Signal: unix.SIGUSR1, After: 400 * time.Millisecond}}
	if lines, _, _ := ends(t, s); strings.Join(lines, ",") != "up,asked,bye" {
		t.Errorf("%q", lines)
	}
}

func TestErrand(t *testing.T) {
	s := stubborn()
	s.Env["WHERE"] = "here ${instance}"
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		argv   []string
		within time.Duration
		why    string
		words  string
	}{
		"well":           {argv: []string{"/bin/sh", "-c", "echo one; echo $WHERE $MORE"}, words: "one,here 0 added"},
		"code":           {argv: []string{"/bin/sh", "-c", "echo no >&2; exit 3"}, why: "exit code 3", words: "no"},
		"not there":      {argv: []string{"/nowhere/x"}, why: "cannot execute /nowhere/x: no such file or directory"},
		"hangs":          {argv: []string{"/bin/sh", "-c", "echo hm; sleep 1000"}, within: 300 * time.Millisecond, why: "did not end within 300ms", words: "hm"},
		"leaves a child": {argv: []string{"/bin/sh", "-c", "sleep 1000 & sleep 1001 & exit 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan outcome, 2)
			r.errand(chore{ref: ref("stubborn", 0), spec: s, argv: c.argv, env: []string{"MORE=added"}, within: c.within, done: func(o outcome) { got <- o }})
			o := <-got
			if o.why != c.why || strings.Join(o.words, ",") != c.words {
				t.Errorf("%q %q, want %q %q", o.why, o.words, c.why, c.words)
			}
		})
	}
	r.errands.wait(context.Background())
	deadline := time.After(30 * time.Second)
	for slices.ContainsFunc(livingChildren(), func(p procStat) bool { return p.sid != r.status(ref("stubborn", 0)).PID }) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("left behind: %+v", livingChildren())
		}
	}
}

// An errand that is under way when everything ends is killed, and none begins after that.
func TestErrandAtTheEnd(t *testing.T) {
	r := start(t, nil)
	got := make(chan outcome, 2)
	r.errand(chore{argv: []string{"/bin/sh", "-c", "echo $DSAT_TOPOLOGY $DSAT_NAME; sleep 1000"}, done: func(o outcome) { got <- o }})
	r.KillAll()
	if o := <-got; o.why != "was killed, because dsatd ends" {
		t.Errorf("%+v", o)
	}
	r.errand(chore{argv: []string{"/bin/true"}, done: func(o outcome) { got <- o }})
	if o := <-got; o.why != errClosed.Error() {
		t.Errorf("%+v", o)
	}
	if left := livingChildren(); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
}
