package supervisor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

// stage is a world of the test's own: it decides when a fork succeeds, a process ends, and the last of what it left is gone.
type stage struct {
	mu     sync.Mutex // orders the test and the owner where only simulated time does
	crew   crew
	lives  []*actor
	events []Event
	gate   string
	closed bool // the gate is closed for good
	phase_ phase

	turns    int // promised
	failures int // that the group was told of
	patience int // of the group; 0: endless
	wrong    string
	drains   bool
	sleeps   bool   // a socket starts it
	ear      uint64 // the listening; 0: none
	hooks    bool   // its processes have hooks
	heirs    int    // main processes that were named
	begun    time.Time
	trace    []string // what was done to processes, and when since begun
}

func (s *stage) note(what string) {
	s.trace = append(s.trace, fmt.Sprintf("%s %s", time.Since(s.begun), what))
}

// actor is what the kernel would know of a life.
type actor struct {
	*life
	forked, dead, clean         bool
	signalled, killed, draining bool
	asked, asks                 int                        // stop commands under way, and begun
	recalled                    bool                       // a stop command was told to end
	greets                      map[topology.HookKind]bool // hooks under way
	signals                     []syscall.Signal
	late                        bool // a signal came after the kill
	left                        bool // it has named another main process, and ended
	buried, probed, examined    int
	watched                     int
}

func (s *stage) listen(_ *instance, seq uint64) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sleeps {
		return "", nil
	}
	if s.ear != 0 {
		s.wrong = "it listens twice"
	}
	s.ear = seq
	return "the sea", nil
}

func (s *stage) deafen(*instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ear = 0
}

func (s *stage) idle(*instance) {}

func (s *stage) now() time.Time    { return time.Now() }
func (s *stage) roll() float64     { return 0.5 }
func (s *stage) run(f func()) bool { return s.crew.run(f) }
func (s *stage) phase(_ *instance, p phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase_ = p
}
func (s *stage) ask(*instance) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gate, s.closed
}

func (s *stage) incarnation(n uint32) topology.Incarnation { return topology.NewIncarnation(1, n) }
func (s *stage) spawn(l *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives = append(s.lives, &actor{life: l})
}
func (s *stage) actor(l *life) *actor {
	for _, a := range s.lives {
		if a.life == l {
			return a
		}
	}
	return nil
}

func (s *stage) probe(l *life) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.actor(l)
	a.probed++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.probed--
	}
}

func (s *stage) examine(l *life) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.actor(l)
	a.examined++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.examined--
	}
}

func (s *stage) succeed(l *life, h *heir) { l.heir.Store(h) }

func (s *stage) abandon(l *life) { l.cancelled.Store(true) }

func (s *stage) greet(l *life, kind topology.HookKind) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hooks {
		return nil
	}
	a := s.actor(l)
	if a.greets == nil {
		a.greets = map[topology.HookKind]bool{}
	}
	if a.greets[kind] || !a.forked {
		s.wrong = fmt.Sprintf("hook %s runs twice, or for nobody", kind)
	}
	a.greets[kind] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(a.greets, kind)
	}
}

// hooked: hooks have their word; those whose process is gone, too.
func (s *stage) hooked(no func() bool) {
	for _, a := range s.lives {
		for _, kind := range []topology.HookKind{topology.AfterSpawn, topology.AfterStart} {
			if !a.greets[kind] {
				continue
			}
			cause := ""
			if no() {
				cause = "no"
			}
			delete(a.greets, kind)
			a.of.post(event{kind: evHooked, life: a.life, hook: kind, cause: cause})
		}
	}
}

func (s *stage) drain(l *life, _ time.Duration) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.drains {
		return nil
	}
	a := s.actor(l)
	a.draining = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.draining = false
	}
}

func (s *stage) command(l *life, _ time.Duration) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.actor(l)
	s.note("command")
	a.asked++
	a.asks++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if a.asked > 0 {
			a.recalled = true
		}
	}
}

func (s *stage) signal(l *life, sig syscall.Signal, _ bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(unix.SignalName(sig))
	a := s.actor(l)
	if sig == checkSignal {
		return
	}
	a.late = a.late || a.killed
	a.signals = append(a.signals, sig)
	a.signalled = true
}
func (s *stage) kill(l *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.hard.Store(true)
	s.note("kill")
	s.actor(l).killed = true
}
func (s *stage) bury(l *life, _ Exit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actor(l).buried++
}
func (s *stage) changed(i *instance, from State, now *InstanceStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, Event{From: from, To: now.State, Cause: now.Why})
}

// alive: processes of the instance that exist now.
func (s *stage) alive() (n int) {
	for _, a := range s.lives {
		if a.forked && (!a.dead || !a.clean) {
			n++
		}
	}
	return n
}

// checkSignal is sent by a check, and belongs to no stop.
const checkSignal = unix.SIGUSR1

func stageHealth(d dice) []*topology.Check {
	then := []topology.CheckThen{topology.CheckRestart, topology.CheckUnready, topology.CheckSignal, topology.CheckNothing}
	return [][]*topology.Check{nil, {{Name: "c", Failures: 1, Then: then[d.pick(len(then))], Signal: checkSignal}}}[d.pick(2)]
}

func stageSpec(d dice) *topology.Satellite {
	return &topology.Satellite{
		Name: "x", Health: stageHealth(d), Ready: topology.Ready{Kind: []topology.ReadyKind{topology.ReadySpawned, topology.ReadyHello, topology.ReadyNotify}[d.pick(3)]},
		Restart: topology.Restart{
			Policy:       []topology.RestartPolicy{topology.RestartAlways, topology.RestartOnFailure, topology.RestartNever}[d.pick(3)],
			SuccessCodes: []int{0}, ForbidCodes: [][]int{nil, {1}}[d.pick(2)], Limit: d.pick(5), Window: time.Minute,
			Backoff: topology.Backoff{Initial: time.Second, Factor: 2, Max: 10 * time.Second, Reset: time.Minute},
			Retry:   []time.Duration{0, 5 * time.Second}[d.pick(2)],
		},
		Stop: topology.Stop{Signal: 15, Deadline: 5 * time.Second, Command: [][]string{nil, {"x"}}[d.pick(2)], Signals: [][]topology.StopSignal{
			nil, {{Signal: 15}, {Signal: 2, After: time.Second}, {Signal: 3, After: 3 * time.Second}},
		}[d.pick(2)]},
	}
}

// act does one thing that can happen to an instance now.
func (s *stage) act(d dice, i *instance) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last *actor
	if len(s.lives) > 0 {
		last = s.lives[len(s.lives)-1]
	}
	any := s.lives
	switch what := d.pick(27); what {
	case 0, 1:
		i.post(event{kind: evStart})
		return "start"
	case 2:
		i.post(event{kind: evStop})
		return "stop"
	case 3:
		i.post(event{kind: evRestart})
		return "restart"
	case 4:
		i.post(event{kind: evKill})
		return "kill"
	case 5, 6: // the spawner comes to it
		if last != nil && !last.forked && !last.dead {
			s.fork(d, last)
		}
		return "fork"
	case 7, 8: // a process ends
		for _, a := range any {
			if a.forked && !a.dead {
				a.dead = true
				i.post(event{kind: evExit, life: a.life, exit: Exit{Code: d.pick(2)}, pid: a.mainPID()})
			}
		}
		return "exit"
	case 9, 10:
		s.sweep()
		return "sweep"
	case 11:
		if last != nil && last.forked {
			i.post(event{kind: evReady, inc: last.inc})
		}
		return "hello"
	case 12:
		if last != nil && last.probed > 0 {
			i.post(event{kind: evUnready, life: last.life, cause: "not ready"})
		}
		return "unready"
	case 13:
		if last != nil && last.draining {
			last.draining = false
			i.post(event{kind: evDrained, life: last.life})
		}
		return "drained"
	case 14:
		s.told(d)
		return "told"
	case 15:
		s.gate = []string{"", "waits for y"}[d.pick(2)]
		i.post(event{kind: evGo})
		if s.gate == "" {
			i.post(event{kind: evNeed})
		}
		return "gate " + s.gate
	case 16:
		if last != nil && last.examined > 0 {
			i.post(event{kind: []eventKind{evSick, evWell}[d.pick(2)], life: last.life, check: i.spec.Health[0], cause: "ill"})
		}
		return "check"
	case 25, 26:
		return s.tells(d)
	case 23:
		s.hooked(func() bool { return d.pick(3) == 0 })
		return "hooked"
	case 17, 18, 19:
		return s.upkeepOf(what, i, last)
	case 20:
		i.post(event{kind: evListen})
		return "listen"
	case 21:
		if s.ear != 0 {
			i.post(event{kind: evDemand, seq: s.ear - uint64(d.pick(2))})
		}
		return "demand"
	case 22: // its entry changes
		spec, anew := stageSpec(d), d.pick(2) == 0
		if !anew {
			spec.Health = i.spec.Health
			spec.Restart.Retry = i.spec.Restart.Retry // counts from the next failure on
		}
		i.post(event{kind: evSpec, spec: spec, anew: anew})
		return fmt.Sprintf("spec, anew %t", anew)
	default:
		if last != nil {
			i.post(event{kind: evFault, inc: last.inc, cause: "garbage"})
		}
		pause := time.Duration(1+d.pick([]int{3_000, 20_000}[d.pick(2)])) * time.Millisecond
		s.mu.Unlock()
		time.Sleep(pause)
		s.mu.Lock()
		return "time"
	}
}

func (s *stage) fork(d dice, a *actor) {
	switch {
	case a.cancelled.Load():
		a.dead, a.clean = true, true
		a.of.post(event{kind: evExit, life: a.life, exit: Exit{Err: errCancelled}})
	case d.pick(4) == 0:
		a.dead, a.clean = true, true
		a.of.post(event{kind: evExit, life: a.life, exit: Exit{Err: errors.New("cannot fork")}})
	default:
		a.forked, a.pid, a.started = true, 100+len(s.lives), time.Now()
		a.born()
		a.of.post(event{kind: evSpawned, life: a.life})
	}
}

// told: stop commands end, well or not; those that were recalled cannot end well.
func (s *stage) told(d dice) {
	for _, a := range s.lives {
		if a.asked > 0 {
			cause := []string{"", "exit code 1"}[d.pick(2)]
			if a.recalled {
				cause = "was killed"
			}
			a.asked--
			a.of.post(event{kind: evTold, life: a.life, cause: cause})
		}
	}
}

func (s *stage) sweep() {
	for _, a := range s.lives {
		if a.dead && !a.clean && a.buried > 0 && a.asked == 0 {
			a.clean = true
			a.of.post(event{kind: evSwept, life: a.life})
		}
	}
}

// check is what holds after every event.
func (s *stage) check(d dice, i *instance, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := i.status.Load()
	fail := func(format string, args ...any) {
		d.failf("after %q: %s; %+v; events %+v", what, fmt.Sprintf(format, args...), *st, s.events)
	}
	if n := s.alive(); n > 1 {
		fail("there are %d at once", n)
	}
	if st.State == Stopped && s.alive() > 0 {
		fail("stopped is not gone")
	}
	running := st.State == Running
	if listens := s.ear != 0; listens != (i.drowse.on != "") || listens && (st.Want == Up || st.State != Stopped && st.State != Exited) {
		fail("it listens: %v", listens)
	}
	for _, a := range s.lives {
		if a.dead && a.buried != 1 || !a.dead && a.buried != 0 {
			fail("buried %d times", a.buried)
		}
		if a.probed > 0 && (a.dead || st.State != Starting) {
			fail("a probe goes on")
		}
		if a.greets[topology.AfterStart] && (a.dead || st.State != Starting) {
			fail("a start is not over, and its hook is, or the other way round")
		}
		if a.examined != 0 && (a.examined != 1 || a.dead || !running) {
			fail("its checks go on")
		}
		if (a.signalled || a.killed || a.asks > 0) && !a.forked {
			fail("signalled what does not exist")
		}
		if a.asks > 1 || a.asks > 0 && len(a.stop.Command) == 0 {
			fail("%d stop commands", a.asks)
		}
		if a.killed && a.asked > 0 && !a.recalled {
			fail("the process is killed, and its stop command lives")
		}
		if n := len(sequence(a.stop)); len(a.signals) > n || a.late || !slices.IsSortedFunc(a.signals, a.before) {
			fail("signals %v", a.signals)
		}
	}
	if l := i.life; st.State == Stopping && st.PID != 0 && !i.draining && !l.hard.Load() && len(l.stop.Command) == 0 && !l.word.leaving && !s.actor(l).signalled {
		fail("nobody told it to stop")
	}
	if running && (st.PID == 0 || st.Want != Up) || (st.State == Stopped || st.State == Backoff || st.State == Fatal) && st.PID != 0 {
		fail("state and process do not fit")
	}
	if st.Want == Up && st.State == Stopped || st.Want == Down && (st.State == Backoff || running || st.State == Starting || st.State == Fatal) {
		fail("want and state do not fit")
	}
	s.checkUpkeep(i, st, fail)
	if st.Why == "" && !running {
		fail("nobody knows why")
	}
	if h := i.life; running && (st.Health == Unchecked) != (len(i.spec.Health) == 0) || !running && st.Health != Unchecked ||
		st.Health == Unhealthy && h.cause == "" && i.spec.Health[0].Then == topology.CheckRestart {
		fail("state and health do not fit")
	}
	if ready := s.phase_ == phaseReady || s.phase_ == phaseHealthy || s.phase_ == phaseUnready; ready != (running || s.ear != 0) {
		fail("the gate thinks otherwise: %d", s.phase_)
	}
}

// before orders signals as the stop does.
func (l *life) before(a, b syscall.Signal) int {
	place := func(sig syscall.Signal) int {
		return slices.IndexFunc(sequence(l.stop), func(s topology.StopSignal) bool { return s.Signal == sig })
	}
	return place(a) - place(b)
}

// settle lets everything that is under way happen.
func (s *stage) settle(d dice, i *instance, hello bool) {
	s.mu.Lock()
	s.gate = ""
	s.mu.Unlock()
	i.post(event{kind: evGo})
	for range 8 {
		s.tend(d, i, hello)
		time.Sleep(11 * time.Second) // longer than any back-off or deadline
		synctest.Wait()
		s.check(d, i, "settling")
	}
}

// tend lets happen what is under way now.
func (s *stage) tend(d dice, i *instance, hello bool) {
	synctest.Wait()
	s.mu.Lock()
	for _, a := range s.lives {
		switch {
		case !a.forked && !a.dead:
			if !a.cancelled.Load() {
				a.forked, a.pid, a.started = true, 99, time.Now()
				a.born()
				i.post(event{kind: evSpawned, life: a.life})
			} else {
				s.fork(d, a)
			}
		case a.forked && !a.dead && (a.killed || a.signalled || a.asked > 0):
			a.dead = true
			i.post(event{kind: evExit, life: a.life, exit: Exit{Signal: 15}, pid: a.mainPID()})
		case hello && a.forked && !a.dead:
			i.post(event{kind: evReady, inc: a.inc})
			a.appease()
		}
	}
	s.mu.Unlock()
	synctest.Wait()
	s.mu.Lock()
	s.hooked(func() bool { return false })
	s.told(d)
	s.sweep()
	s.mu.Unlock()
}

// oneHistory is one life of an instance from its first event to a start and a stop that must succeed.
func oneHistory(d dice) {
	s := &stage{drains: d.pick(2) == 1, hooks: d.pick(2) == 1, sleeps: d.pick(3) == 0, patience: d.pick(4)}
	i := newInstance(ref("x", 0), stageSpec(d), s)
	for range 1 + d.pick(14) {
		what := s.act(d, i)
		synctest.Wait()
		s.check(d, i, what)
	}
	up := make(chan Result, 1)
	i.post(event{kind: evStart, wait: &waiter{goal: goalUp, reply: up}})
	synctest.Wait()
	s.settle(d, i, true)
	if st := i.status.Load(); st.State != Running {
		d.failf("a start does not lead up: %+v; events %+v", *st, s.events)
	}
	if r := <-up; r.Err != nil || r.State != Running {
		d.failf("who started was told %+v", r)
	}
	down := make(chan Result, 1)
	i.post(event{kind: evStop, wait: &waiter{goal: goalDown, reply: down}})
	synctest.Wait()
	s.settle(d, i, false)
	if st := i.status.Load(); st.State != Stopped {
		d.failf("a stop does not lead down: %+v; events %+v", *st, s.events)
	}
	if r := <-down; r.Err != nil {
		d.failf("who stopped was told %+v", r)
	}
	s.crew.close()
}

// dice decides what happens: either rapid, which makes a failing history short, or a generator, which is fast.
type dice interface {
	pick(n int) int
	failf(format string, args ...any)
}

type rapidDice struct{ t *rapid.T }

func (d rapidDice) pick(n int) int                   { return rapid.IntRange(0, n-1).Draw(d.t, "pick") }
func (d rapidDice) failf(format string, args ...any) { d.t.Fatalf(format, args...) }

type randDice struct {
	t    *testing.T
	seed uint64
	*rand.Rand
}

func (d randDice) pick(n int) int { return d.IntN(n) }
func (d randDice) failf(format string, args ...any) {
	d.t.Fatalf("seed %d: "+format, append([]any{d.seed}, args...)...)
}

// Whatever happens in whatever order: never two, stopped is gone, want and state fit, and there is a way out of every state.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(*testing.T) {
			defer func() { failed = recover() }() // a failed property is a panic, which has to be carried out of the bubble
			oneHistory(rapidDice{rt})
		})
		if failed != nil {
			panic(failed)
		}
	})
}

// inParallel plays histories in bubbles side by side, as many as there are processors.
func inParallel(t *testing.T, total int, play func(dice)) {
	base := uint64(time.Now().UnixNano())
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for n := w; n < total; n += workers {
					seed := base + uint64(n)
					play(randDice{t, seed, rand.New(rand.NewPCG(seed, 0))})
				}
			})
		})
	}
}

func TestMachineMany(t *testing.T) {
	total := 100_000
	if testing.Short() {
		total = 5_000
	}
	inParallel(t, total, oneHistory)
}
