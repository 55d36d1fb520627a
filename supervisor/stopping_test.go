package supervisor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// What is done to a process that does not stop, and when.
func TestStopTimes(t *testing.T) {
	ladder := []topology.StopSignal{{Signal: unix.SIGINT}, {Signal: unix.SIGTERM, After: 2 * time.Second}, {Signal: unix.SIGQUIT, After: 4 * time.Second}}
	for name, c := range map[string]struct {
		command bool
		signals []topology.StopSignal
		fails   time.Duration // when the command does; 0: it ends well, at once
		want    string
	}{
		"a signal":                           {want: "0s SIGHUP, 5s kill"},
		"a sequence":                         {signals: ladder, want: "0s SIGINT, 2s SIGTERM, 4s SIGQUIT, 5s kill"},
		"a command":                          {command: true, want: "0s command, 5s kill"},
		"a command that fails":               {command: true, fails: time.Second, want: "0s command, 1s SIGHUP, 5s kill"},
		"a command and a sequence":           {command: true, signals: ladder, want: "0s command, 2s SIGTERM, 4s SIGQUIT, 5s kill"},
		"a command that fails, a sequence":   {command: true, fails: time.Second, signals: ladder, want: "0s command, 1s SIGINT, 2s SIGTERM, 4s SIGQUIT, 5s kill"},
		"a command that fails too late":      {command: true, fails: 3 * time.Second, signals: ladder, want: "0s command, 2s SIGTERM, 4s SIGQUIT, 5s kill"},
		"a sequence that begins later":       {command: true, signals: ladder[1:], want: "0s command, 2s SIGTERM, 4s SIGQUIT, 5s kill"},
		"the same, and the command fails":    {command: true, fails: time.Second, signals: ladder[1:], want: "0s command, 1s SIGTERM, 4s SIGQUIT, 5s kill"},
		"a command that fails with the kill": {command: true, fails: 5 * time.Second, want: "0s command, 5s kill"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stage{}
				spec := stageSpec(firstSide{})
				spec.Stop = topology.Stop{Signal: unix.SIGHUP, Signals: c.signals, Deadline: 5 * time.Second}
				if c.command {
					spec.Stop.Command = []string{"x"}
				}
				i := newInstance(ref("x", 0), spec, s)
				for range 2 { // the second life as the first
					s.trace = nil
					i.post(event{kind: evStart})
					synctest.Wait()
					l := s.lives[len(s.lives)-1]
					l.forked, l.pid, l.started = true, 99, time.Now()
					i.post(event{kind: evSpawned, life: l.life})
					synctest.Wait()
					s.begun = time.Now()
					i.post(event{kind: evStop})
					synctest.Wait()
					if c.command {
						cause := ""
						if c.fails > 0 {
							time.Sleep(c.fails)
							synctest.Wait()
							cause = "exit code 3"
						}
						i.post(event{kind: evTold, life: l.life, cause: cause})
					}
					time.Sleep(10 * time.Second)
					synctest.Wait()
					if got := strings.Join(s.trace, ", "); got != c.want {
						t.Errorf("%s, want %s", got, c.want)
					}
					i.post(event{kind: evExit, life: l.life})
					i.post(event{kind: evSwept, life: l.life})
					synctest.Wait()
				}
				s.crew.close()
			})
		})
	}
}

// firstSide is dice that always show the first side.
type firstSide struct{}

func (firstSide) pick(int) int         { return 0 }
func (firstSide) failf(string, ...any) {}

// What the status says while a stop goes on.
func TestStopIsExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{}
		spec := stageSpec(firstSide{})
		spec.Stop = topology.Stop{Command: []string{"x"}, Signals: []topology.StopSignal{{Signal: unix.SIGTERM}, {Signal: unix.SIGQUIT, After: 2 * time.Second}}, Deadline: 5 * time.Second}
		i := newInstance(ref("x", 0), spec, s)
		i.post(event{kind: evStart})
		synctest.Wait()
		l := s.lives[0]
		l.forked, l.pid, l.started = true, 99, time.Now()
		i.post(event{kind: evSpawned, life: l.life})
		i.post(event{kind: evStop})
		synctest.Wait()
		var said []string
		look := func() { said = append(said, i.status.Load().Why) }
		look()
		i.post(event{kind: evTold, life: l.life, cause: "exit code 3"})
		synctest.Wait()
		look()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		look()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		look()
		if want := []string{
			"runs its stop command and has 5s to stop", "its stop command failed: exit code 3",
			"did not stop within 2s, was sent SIGQUIT, and is killed after 5s", "did not stop within 5s and was killed",
		}; !slices.Equal(said, want) {
			t.Errorf("%q", said)
		}
		s.crew.close()
	})
}

// A process that stands still is made to go on, or it would not notice that it was told to stop.
func TestStopOfAStoppedProcess(t *testing.T) {
	s := stubborn()
	s.Stop.Signal = unix.SIGUSR1
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	who := ref(s.Name, 0)
	pid := r.status(who).PID
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for stopped := false; !stopped; {
		p, err := readStat(pid)
		if err != nil {
			t.Fatal(err)
		}
		stopped = p.state == 'T'
	}
	if _, err := r.Stop(context.Background(), []topology.Ref{who}); err != nil {
		t.Fatal(err)
	}
	if last := r.status(who); last.LastExit != "exit code 0" {
		t.Errorf("%+v", last)
	}
}
