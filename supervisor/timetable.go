package supervisor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// timetable runs the schedules of all satellites. Its loop sleeps until the next run is due, and a minute at most, for the clock on
// the wall may be set meanwhile; without any schedule it does not wake at all. What a schedule does to a satellite is a message to
// its instances, as a command by hand is.
type timetable struct {
	s     *Supervisor
	clock func() clocks
	wake  chan struct{}
	sheet *timesheet

	mu      sync.Mutex
	open    bool // runs may begin: between Boot and the end
	seen    *roster
	entries []*scheduled
	jobs    map[string]*job
	skew    time.Duration // of the clocks, at the turn before
	begun   bool          // skew is known
}

// job is what a scheduled satellite did.
type job struct {
	leaving map[topology.Ref]bool // told to start, and not seen to do so
	began   time.Time             // of the last run; zero: none
	ended   time.Time             // of the last run that is over
	well    bool
	result  string
}

func newTimetable(s *Supervisor, state string) *timetable {
	t := &timetable{s: s, clock: now, wake: make(chan struct{}, 1), sheet: newTimesheet(state, s.log), jobs: make(map[string]*job)}
	for name, line := range t.sheet.runs {
		t.jobs[name] = &job{leaving: map[topology.Ref]bool{}, began: line.Began, ended: line.Ended, well: line.Well, result: line.Result}
	}
	return t
}

func now() clocks {
	c := clocks{wall: time.Now().Round(0)}
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) == nil {
		c.boot = time.Duration(ts.Nano())
	}
	return c
}

// permit lets runs begin, or none any more.
func (t *timetable) permit(open bool) {
	t.mu.Lock()
	t.open = open
	t.mu.Unlock()
	t.nudge()
}

// nudge makes the loop look again: a satellite has ended, or the topology is another.
func (t *timetable) nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *timetable) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Stop()
		if wait := t.turn(); wait >= 0 {
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-timer.C:
		}
	}
}

// turn does what is due, and returns how long nothing is; negative: for ever.
func (t *timetable) turn() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		if t.seen != nil {
			t.sheet.write(t.entries, t.jobs)
		}
		return -1
	}
	c := t.clock()
	put := t.put(c)
	t.follow(c)
	if len(t.entries) == 0 {
		return -1
	}
	wait := time.Minute
	for _, e := range t.entries {
		if e.turn(c, put, rand.Float64()) {
			t.due(e)
		}
		t.serve(e)
		if next := e.next(c); !next.IsZero() {
			wait = min(wait, max(next.Sub(c.wall), time.Millisecond))
		}
	}
	t.sheet.write(t.entries, t.jobs)
	return wait
}

// put is by how much the clock on the wall was set since the turn before; 0 for what may be a correction.
func (t *timetable) put(c clocks) time.Duration {
	skew := time.Duration(c.wall.UnixNano()) - c.boot
	put := skew - t.skew
	if !t.begun || put.Abs() < punctual {
		put = 0
	} else {
		t.s.log.Warn("the clock was set: schedules go by it from now on", "by", put.Round(time.Second))
	}
	t.skew, t.begun = skew, true
	return put
}

// follow makes the entries those of the present topology; one that is the same as before stays.
func (t *timetable) follow(c clocks) {
	r := t.s.roster()
	if r == t.seen {
		return
	}
	t.seen = r
	type name struct{ satellite, schedule string }
	old := make(map[name]*scheduled, len(t.entries))
	for _, e := range t.entries {
		old[name{e.satellite, e.plan.Name}] = e
	}
	t.entries = nil
	for _, sat := range r.satellites {
		for _, plan := range sat.spec.Schedules {
			e := old[name{sat.spec.Name, plan.Name}]
			if e == nil || e.plan != plan {
				e = &scheduled{satellite: sat.spec.Name, plan: plan}
				line := t.sheet.find(e)
				e.owed, e.seen = line.Owed, line.Seen
				e.begin(c, line.Last, rand.Float64())
			}
			t.entries = append(t.entries, e)
		}
	}
}

// due is a run whose time has come.
func (t *timetable) due(e *scheduled) {
	sat := t.seen.byName[e.satellite]
	e.note = ""
	sig, signal := e.plan.Action.Signal()
	switch {
	case signal:
		t.s.crew.run(func() { t.s.deliver(sat, sig) })
	case e.plan.Action == topology.ActionRestart:
		t.s.crew.run(func() { t.s.renew(sat) })
	case !t.busy(sat):
		t.start(sat, evStart)
	case e.plan.Overlap == topology.OverlapKill:
		e.note = "it stopped the run before, which was not over"
		t.start(sat, evRestart)
	case e.plan.Overlap == topology.OverlapQueue:
		e.note = "it waits for the end of the run before"
		e.waiting = true
	default:
		e.note = fmt.Sprintf("the run of %s was left out, because the one before was not over", e.last.Format("2006-01-02 15:04:05"))
		t.s.log.Warn("a scheduled run was left out, because the one before is not over", "satellite", e.satellite, "schedule", e.plan.Name)
	}
}

// serve begins a run that waited for the end of another.
func (t *timetable) serve(e *scheduled) {
	if e.owed == 0 && !e.waiting {
		return
	}
	sat := t.seen.byName[e.satellite]
	if sig, signal := e.plan.Action.Signal(); signal || e.plan.Action == topology.ActionRestart {
		e.owed = 0 // once is as good as often
		t.s.crew.run(func() {
			if signal {
				t.s.deliver(sat, sig)
			} else {
				t.s.renew(sat)
			}
		})
		return
	}
	if t.busy(sat) {
		return
	}
	if e.waiting {
		e.waiting = false
	} else {
		e.owed--
		t.s.log.Info("a missed run is made up", "satellite", e.satellite, "schedule", e.plan.Name, "more", e.owed)
	}
	e.note = ""
	t.start(sat, evStart)
}

// busy: a run of it is not over.
func (t *timetable) busy(sat *satellite) bool {
	j := t.job(sat.spec.Name)
	for _, i := range sat.instances() {
		if j.leaving[i.ref] || !idle(i.status.Load().State) {
			return true
		}
	}
	return false
}

func idle(s State) bool { return s == Stopped || s == Exited || s == Fatal }

func (t *timetable) job(name string) *job {
	j := t.jobs[name]
	if j == nil {
		j = &job{leaving: make(map[topology.Ref]bool)}
		t.jobs[name] = j
	}
	return j
}

func (t *timetable) start(sat *satellite, kind eventKind) {
	all := sat.instances()
	t.s.order.intend(all)
	j := t.job(sat.spec.Name)
	for _, i := range all {
		if idle(i.status.Load().State) {
			j.leaving[i.ref] = true
		}
		i.post(event{kind: kind})
	}
}

// changed is told of every change of state, by the instance's owner.
func (t *timetable) changed(i *instance, from State, now *InstanceStatus) {
	if len(i.spec.Schedules) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.job(i.ref.Name)
	switch {
	case idle(from) && !idle(now.State):
		delete(j.leaving, i.ref)
		j.began = now.Since.Round(0)
	case !idle(from) && idle(now.State):
		j.ended, j.well, j.result = now.Since.Round(0), now.State == Exited && now.Success, now.LastExit
		if now.State == Stopped {
			j.result = "was stopped"
			t.forget(i.ref.Name)
		}
	default:
		return
	}
	t.nudge()
}

// forget: what was stopped by hand is not begun again by a run that waited for its end.
func (t *timetable) forget(satellite string) {
	for _, e := range t.entries {
		if e.satellite == satellite {
			e.waiting, e.owed = false, 0
		}
	}
}

// renew restarts what is up, one instance after the other.
func (s *Supervisor) renew(sat *satellite) {
	if refs := up(sat); len(refs) > 0 {
		if _, err := s.Restart(context.Background(), refs); err != nil {
			s.log.Warn("a scheduled restart failed", "satellite", sat.spec.Name, "error", err)
		}
	}
}

func (s *Supervisor) deliver(sat *satellite, sig syscall.Signal) {
	results, err := s.Signal(up(sat), sig)
	for _, r := range results {
		if r.Err != nil {
			s.log.Warn("a scheduled signal was not sent", "instance", r.Ref, "error", r.Err)
		}
	}
	if err != nil {
		s.log.Warn("a scheduled signal was not sent", "satellite", sat.spec.Name, "error", err)
	}
}

// up is those of its instances that have a process and shall have one.
func up(sat *satellite) (refs []topology.Ref) {
	for _, i := range sat.instances() {
		if st := i.status.Load(); st.Want == Up && st.PID != 0 && st.State != Stopping {
			refs = append(refs, i.ref)
		}
	}
	return refs
}

// view is what is told of a satellite's schedules; the first time is that of its next run.
func (t *timetable) view(name string) (all []ScheduleStatus, last *RunStatus, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clock()
	for _, e := range t.entries {
		if e.satellite != name {
			continue
		}
		st := ScheduleStatus{Name: e.plan.Name, Cron: e.plan.Cron, Every: e.plan.Every, Action: string(e.plan.Action), Next: e.next(c), Last: e.last, Owed: e.owed, Waiting: e.waiting, Note: e.note}
		if all = append(all, st); e.plan.Action == topology.ActionStart && !st.Next.IsZero() && (next.IsZero() || st.Next.Before(next)) {
			next = st.Next
		}
	}
	if j := t.jobs[name]; j != nil && !j.began.IsZero() {
		last = &RunStatus{Began: j.began, Ended: j.ended, Well: j.well, Result: j.result}
	}
	return all, last, next
}

// tell adds to a status what the timetable knows.
func (t *timetable) tell(st *SatelliteStatus) {
	var next time.Time
	if st.Schedules, st.LastRun, next = t.view(st.Name); next.IsZero() {
		return
	}
	at := next.Format("2006-01-02 15:04:05")
	for n := range st.Instances {
		is := &st.Instances[n]
		switch {
		case is.State == Stopped:
			is.Why = "its next run is at " + at
		case is.State == Exited && is.Success:
			is.Why = "ended well; its next run is at " + at
		case idle(is.State):
			is.Why += "; its next run is at " + at
		default:
			continue
		}
		if is.Due = next; is.State == st.State {
			st.Why = is.Why
		}
	}
}
