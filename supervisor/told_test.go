package supervisor

import (
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/topology"
)

// says is a datagram of a process that has arrived.
func (a *actor) says(t tidings) {
	a.inlet.mu.Lock()
	defer a.inlet.mu.Unlock()
	a.inlet.note(t)
}

// born gives a process what it tells through.
func (a *actor) born() { a.inlet = &inlet{l: a.life, fd: -1} }

// tells: the newest process, or one before it, tells anything it may.
func (s *stage) tells(d dice) string {
	if len(s.lives) == 0 {
		return "nobody tells"
	}
	a := s.lives[len(s.lives)-1-d.pick(min(2, len(s.lives)))]
	if !a.forked || a.dead {
		return "nobody tells"
	}
	text, dog := "loading", 2*time.Second
	switch d.pick(9) {
	case 0, 1:
		a.says(tidings{ready: true, status: &text})
		return "READY=1"
	case 2:
		a.says(tidings{stopping: true})
		return "STOPPING=1"
	case 3:
		a.says(tidings{watchdog: &dog})
		return "WATCHDOG_USEC"
	case 4:
		a.says(tidings{fed: true, reloading: true})
		return "WATCHDOG=1"
	case 5:
		a.says(tidings{starved: true})
		return "WATCHDOG=trigger"
	case 6:
		a.says(tidings{extend: 3 * time.Second})
		return "EXTEND_TIMEOUT_USEC"
	}
	if a.heir.Load() != nil && !a.left { // the one it was before ends, and that is no end of the life
		a.left = true
		a.of.post(event{kind: evExit, life: a.life, exit: Exit{}, pid: a.pid})
		return "the main process of before ends"
	}
	s.heirs++
	a.says(tidings{heir: &heir{survivor: &survivor{kin: kin{pid: 5000 + s.heirs}, fd: -1}, l: a.life}})
	return "MAINPID"
}

// appease lets a living process be what a start wants: ready, and nobody waits for its word.
func (a *actor) appease() {
	off := time.Duration(0)
	a.says(tidings{watchdog: &off})
	if a.spec.Ready.Kind == topology.ReadyNotify {
		a.says(tidings{ready: true})
	}
}

// The rows that random histories reach seldom: a watchdog that is fed, and then is not; a main process that ends after it has named another.
func TestWhatIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{}
		spec := &topology.Satellite{Name: "x", Ready: topology.Ready{Kind: topology.ReadyNotify}, Stop: topology.Stop{Signal: 15, Deadline: time.Second},
			Restart: topology.Restart{Policy: topology.RestartAlways, Window: time.Minute}}
		i := newInstance(ref("x", 0), spec, s)
		state := func(want State) {
			t.Helper()
			synctest.Wait()
			if st := i.status.Load(); st.State != want {
				t.Fatalf("%+v, want %s", *st, want)
			}
		}
		i.post(event{kind: evStart})
		synctest.Wait()
		a := s.lives[0]
		a.forked, a.pid = true, 100
		a.born()
		i.post(event{kind: evSpawned, life: a.life})
		state(Starting)
		dog := 2 * time.Second
		a.says(tidings{heir: &heir{survivor: &survivor{kin: kin{pid: 5000}, fd: -1}, l: a.life}})
		i.post(event{kind: evExit, life: a.life, pid: 100})
		a.says(tidings{ready: true, watchdog: &dog})
		state(Running)
		if pid := i.status.Load().PID; pid != 5000 {
			t.Errorf("its main process is %d", pid)
		}
		time.Sleep(1900 * time.Millisecond)
		a.says(tidings{fed: true})
		time.Sleep(1900 * time.Millisecond)
		state(Running)
		time.Sleep(200 * time.Millisecond)
		state(Stopping)
		if !slices.Contains(a.signals, syscall.SIGABRT) {
			t.Errorf("signals %v", a.signals)
		}
		i.post(event{kind: evExit, life: a.life, pid: 5000, exit: Exit{Signal: syscall.SIGABRT}})
		i.post(event{kind: evSwept, life: a.life})
		state(Starting)
		if st := i.status.Load(); st.LastExit != "no WATCHDOG=1 within 2s" || st.Restarts != 1 {
			t.Errorf("%+v", *st)
		}
		i.post(event{kind: evKill})
		synctest.Wait()
		i.post(event{kind: evExit, life: s.lives[1].life, exit: Exit{Err: errCancelled}})
		state(Stopped)
	})
}
