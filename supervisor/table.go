package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dsat/dsat/topology"
)

// table is the whole behaviour of an instance. A restart is a stop with want up; a failed spawn is an exit. What is not in it
// changes nothing.
var table = [...][eventKinds]func(*instance, event){
	Stopped: {
		evSpec:  (*instance).respec,
		evStart: (*instance).up, evRestart: (*instance).up, evStop: (*instance).ignore, evKill: (*instance).ignore,
		evListen: (*instance).listen, evDemand: (*instance).demand,
	},
	Starting: {
		evSpec:    (*instance).respec,
		evRestart: (*instance).anew, evStop: (*instance).halt, evKill: (*instance).slay,
		evGo: (*instance).advance, evSwept: (*instance).advance, evSpawned: (*instance).launched,
		evReady: (*instance).ready, evUnready: (*instance).unready, evExit: (*instance).judge, evFault: (*instance).fault,
		evHooked: (*instance).hooked,
		evCede:   (*instance).cede, evWorn: (*instance).worn, evNotify: (*instance).notified,
	},
	Running: {
		evSpec:    (*instance).respec,
		evRestart: (*instance).anew, evStop: (*instance).halt, evKill: (*instance).slay,
		evSick: (*instance).checked, evWell: (*instance).checked,
		evExit: (*instance).judge, evFault: (*instance).fault, evHooked: (*instance).hooked,
		evCede: (*instance).cede, evWorn: (*instance).worn, evRenew: (*instance).renew,
		evNotify: (*instance).notified, evStarved: (*instance).starved,
	},
	Stopping: {
		evSpec:  (*instance).respec,
		evStart: (*instance).back, evRestart: (*instance).back, evStop: (*instance).down, evKill: (*instance).slay,
		evSpawned: (*instance).term, evDrained: (*instance).drained, evTold: (*instance).told, evTimer: (*instance).overdue,
		evExit: (*instance).gone, evSwept: (*instance).gone, evFault: (*instance).fault, evNotify: (*instance).notified,
	},
	Backoff: {
		evSpec:  (*instance).respec,
		evStart: (*instance).up, evRestart: (*instance).up, evStop: (*instance).rest, evKill: (*instance).rest,
		evTimer: (*instance).begin, evNeed: (*instance).begin,
	},
	Exited: {
		evSpec:  (*instance).respec,
		evStart: (*instance).up, evRestart: (*instance).up, evStop: (*instance).ignore, evKill: (*instance).ignore, evDemand: (*instance).demand,
	},
	Fatal: {
		evSpec:  (*instance).respec,
		evStart: (*instance).up, evRestart: (*instance).up, evStop: (*instance).rest, evKill: (*instance).rest,
		evTimer: (*instance).retry,
	},
}

// up is a start by hand: what happened before is forgotten.
func (i *instance) up(e event) {
	i.want, i.hist, i.unasked, i.free = Up, history{}, false, false
	i.opened, i.greeted = false, false
	i.begin(e)
}

// back makes it return after the stop that is going on, whatever that stop was for.
func (i *instance) back(event) {
	i.want, i.hist, i.unasked, i.free = Up, history{}, false, false
	i.opened, i.greeted = false, false
	if i.life != nil {
		i.life.judged = false
	}
}

func (i *instance) down(event) { i.want = Down }

// retry is a start by schedule: what happened before is forgotten.
func (i *instance) retry(e event) {
	i.hist, i.unasked = history{}, true
	i.begin(e)
}

// begin is the way to a process.
func (i *instance) begin(e event) {
	i.disarm()
	i.hush()
	i.success, i.hopeless = false, false
	i.enter(Starting, "is being spawned")
	i.advance(e)
}

// advance spawns once nothing is left of the life before and the gate is open.
func (i *instance) advance(event) {
	if l := i.life; l != nil && !l.exited {
		return // spawned, or about to be
	}
	if l := i.life; l != nil && !l.swept {
		i.why = "waits until the processes it left behind are gone"
		return
	}
	why, hopeless := i.world.ask(i)
	if i.hopeless = hopeless; why != "" {
		i.why = why
		return
	}
	now := i.world.now()
	if !i.free {
		i.hist.started(i.spec.Restart, now)
	}
	if i.unasked {
		i.restarts++
	}
	i.unasked, i.free = false, false
	i.spawns++
	i.why = "is being spawned"
	i.life = &life{of: i, spec: i.spec, stop: i.spec.Stop, inc: i.world.incarnation(i.spawns), opening: !i.opened, word: word{watchdog: i.spec.Notify.Watchdog}}
	i.publish()
	i.world.spawn(i.life)
}

// launched: there is a process.
func (i *instance) launched(e event) {
	l := i.life
	i.look()
	if i.opened = true; l.adopted {
		i.greeted = true
	} else {
		i.world.greet(l, topology.AfterSpawn)
	}
	switch {
	case l.spec.Ready.Kind == topology.ReadySpawned || l.hello:
		i.ready(e)
	default:
		i.why = "is not ready yet: " + awaits(l.spec.Ready)
		l.cancel = i.world.probe(l)
	}
}

func (i *instance) ready(event) {
	l := i.life
	if !l.spawned || l.exited || l.cause != "" || l.greeting && !i.greeted {
		return
	}
	l.quit()
	if !i.greeted {
		if l.cancel = i.world.greet(l, topology.AfterStart); l.cancel != nil {
			l.greeting = true
			i.why = "is ready, and its after_start hook runs"
			return
		}
		i.greeted = true
	}
	why := ""
	if l.adopted && l.since.IsZero() {
		why = "was taken back from an earlier dsatd"
	}
	i.enter(Running, why)
	if !l.since.IsZero() {
		i.since = l.since // it was so before dsatd was replaced
	}
	l.word.fed = i.world.now()
	i.guard()
	if l.worn != "" {
		i.world.recycle(i)
	}
	if len(i.spec.Health) > 0 {
		l.cancel = i.world.examine(l)
	}
}

// unready: stopped and judged as failed.
func (i *instance) unready(e event) {
	l := i.life
	if !l.spawned || l.exited || l.cause != "" || e.kind == evUnready && i.patient(e) {
		return
	}
	l.cause, l.judged = e.cause, true
	i.enter(Stopping, e.cause)
	i.term(e)
}

// hooked: a hook of its process has had its word. After a no it is stopped, and not started again by itself.
func (i *instance) hooked(e event) {
	l := i.life
	switch {
	case e.cause != "" && l.spawned && !l.exited && l.cause == "":
		l.quit()
		l.refused = true
		e.cause = (&refusal{e.hook, e.cause}).Error()
		i.unready(e)
	case e.cause == "" && e.hook == topology.AfterStart && i.state == Starting:
		i.greeted = true
		i.ready(e)
	}
}

// fault: killed and judged as failed.
func (i *instance) fault(e event) {
	l := i.life
	if l == nil || !l.spawned || l.exited {
		return
	}
	if i.state != Stopping {
		l.cause, l.judged = e.cause, true
		l.quit()
		i.enter(Stopping, "was killed: "+e.cause)
	}
	i.draining = false
	i.disarm()
	i.strike()
}

// anew is a restart: a stop with want up.
func (i *instance) anew(e event) {
	if l := i.life; i.state == Starting && (l == nil || l.exited) {
		i.up(e) // has no process yet: it is on its way
		return
	}
	i.end("is being restarted")
	i.back(e)
}

func (i *instance) halt(event) {
	i.want = Down
	i.end("is being stopped")
}

// judge is an exit nobody asked for.
func (i *instance) judge(e event) {
	e.exit.Cause = i.life.cause
	if s := i.life.started; !s.IsZero() {
		e.exit.Uptime = i.world.now().Sub(s)
	}
	i.conclude(e.exit)
}

func (i *instance) conclude(e Exit) {
	if no := e.refused(); no != nil && no.final() {
		i.fail(no.Error(), e)
		return
	}
	if i.rewards(e) {
		return
	}
	v, wait, h := next(i.spec.Restart, i.hist, e, i.world.now(), i.world.roll())
	i.hist = h
	because := e.because() + i.lastWords(e)
	switch v {
	case done:
		if i.success = e.success(i.spec.Restart); i.success || i.spec.Scheduled() {
			i.want = Down // of a job, another run is its schedule's to want
		}
		i.enter(Exited, fmt.Sprintf("%s; its restart policy is %q", because, i.spec.Restart.Policy))
		i.world.ended(i, i.success, e)
	case forbid:
		i.fail(e.because()+" forbids a restart"+i.lastWords(e), e)
	case giveUp:
		i.fail(fmt.Sprintf("gave up after %d starts within %s, the last one: %s", i.spec.Restart.Limit, i.spec.Restart.Window, because), e)
	case again:
		if why := i.world.failed(i, e, because); why != "" {
			i.enter(Fatal, why)
			return
		}
		i.unasked = true
		if wait <= 0 {
			i.enter(Backoff, "restarts at once after "+because)
			i.begin(event{})
			return
		}
		i.enter(Backoff, fmt.Sprintf("in back-off for %s after %s (%s in a row)", round(wait), because, ordinal(h.crashes)))
		i.arm(wait)
	}
}

// fail ends it for good, or until the time of its retry.
func (i *instance) fail(why string, e Exit) {
	i.enter(Fatal, why)
	if d := i.spec.Restart.Retry; d > 0 {
		i.arm(d)
	}
	i.world.ended(i, false, e)
}

// lastWords is what it printed last, when an exit code alone would leave everybody asking why.
func (i *instance) lastWords(e Exit) string {
	if i.book == nil || e.Err != nil || e.Cause != "" || e.Code == 0 {
		return ""
	}
	words := i.book.Last(1, i.life.first)
	if len(words) == 0 || strings.TrimSpace(words[0]) == "" {
		return ""
	}
	text := strings.TrimSpace(words[0])
	if len(text) > mostWords {
		text = strings.ToValidUTF8(text[:mostWords], "") + " ..."
	}
	return fmt.Sprintf(" (its last line: %s)", text)
}

// mostWords is how many bytes of a last line fit a sentence.
const mostWords = 160

// answer tells those who wait for what has come true.
func (i *instance) answer() {
	kept := i.waiters[:0]
	for _, w := range i.waiters {
		if err, ok := i.reached(w); ok {
			s := i.status.Load()
			w.answer(Result{Ref: i.ref, State: s.State, PID: s.PID, Err: err})
		} else {
			kept = append(kept, w)
		}
	}
	clear(i.waiters[len(kept):])
	i.waiters = kept
}

func (i *instance) reached(w waiter) (error, bool) {
	switch w.goal {
	case goalFirm:
		return i.firm(w)
	case goalVoid:
		return nil, i.life == nil || i.life.exited && i.life.swept
	case goalSettled:
		if i.state == Backoff {
			return errors.New(i.why), true
		}
	case goalDown:
		switch {
		case i.state == Stopped:
			return nil, true
		case i.want == Up && i.state != Stopping:
			return errors.New("was started again meanwhile"), true
		}
		return nil, false
	case goalUp:
	}
	switch i.state {
	case Running:
		return nil, true
	case Exited:
		if i.success {
			return nil, true
		}
		return errors.New(i.why), true
	case Fatal:
		return errors.New(i.why), true
	case Stopped:
		return errors.New("was stopped meanwhile"), true
	case Starting:
		if i.hopeless {
			return errors.New(i.why), true
		}
	}
	return nil, false
}

func awaits(r topology.Ready) string {
	switch r.Kind {
	case topology.ReadyLog:
		return fmt.Sprintf("no output line matches %q", r.Log)
	case topology.ReadyTCP:
		return fmt.Sprintf("%s does not accept", r.TCP)
	case topology.ReadyGet:
		return fmt.Sprintf("%s does not answer", r.Get)
	case topology.ReadyDelay:
		return fmt.Sprintf("its delay of %s is not over", r.Delay)
	case topology.ReadyHello:
		return "it did not say HELLO"
	case topology.ReadyNotify:
		return "it did not say READY=1"
	case topology.ReadyFD:
		return fmt.Sprintf("it wrote no line to descriptor %d", r.FD)
	case topology.ReadyUnix:
		return fmt.Sprintf("%s does not accept", r.Unix)
	case topology.ReadyPath:
		return fmt.Sprintf("there is no %s", r.Path)
	case topology.ReadyExec:
		return fmt.Sprintf("%s did not end with 0", r.Exec[0])
	}
	return "it is being spawned"
}

// round keeps two digits or so: "1.6s", "35ms".
func round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
