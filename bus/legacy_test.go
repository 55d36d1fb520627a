package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// old makes a satellite that speaks v1.
func old(name string, to ...string) *topology.Satellite {
	s := sat(name, to...)
	s.Speaks, s.Work.InHand, s.V1.MaxRetry = topology.SpeaksV1, 4, 1
	return s
}

// past is a stage with the door of DSAT 0.6, whose sockets are played by the test.
type past struct {
	*stage
	ports map[string]*legacyPort // by the name of a link
}

var oldLinks = []string{"PUSH_any_ORCHESTER", "PUSH_any_TRACKER", "PUB_TRACKER_any", "PUSH_ORCHESTER_cpu"}

func newPast(t testing.TB, links []string, full topology.V1Full, sats ...*topology.Satellite) *past {
	t.Helper()
	p := &past{stage: newStage(t, sats...), ports: map[string]*legacyPort{}}
	conf := topology.V1{Where: "here", HWM: 64, Full: full, Links: map[string]string{}}
	for i, name := range links {
		conf.Links[name] = fmt.Sprintf("tcp://127.0.0.1:%d", 7000+i)
	}
	var problems []v1.Problem
	conf.Open, problems = v1.Lint(v1.Table{Links: conf.Links, Role: func(name string) v1.Role {
		for _, s := range sats {
			if s.Name == name && s.Speaks == topology.SpeaksV1 {
				return v1.Theirs
			}
		}
		return v1.Ours
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	l := newLegacy(p.o, &conf)
	l.pid = []byte("99")
	for i := range conf.Open {
		if conf.Open[i].End == "" {
			continue
		}
		port := &legacyPort{peer: newPeer(nowhere{}, p.o.bus.pool)}
		port.peer.v1, port.peer.port = &v1Socket{}, port
		l.ports = append(l.ports, port)
		p.ports[conf.Open[i].Name] = port
	}
	l.plan(func(link *v1.Planned) *legacyPort { return p.ports[link.Name] })
	p.o.legacy = l
	return p
}

// spawn starts a process, and runs a turn.
func (p *past) spawn(name string, wid, pid int) topology.Incarnation {
	inc := topology.NewIncarnation(7, uint32(pid))
	ref := topology.Ref{Name: name, WID: wid}
	p.o.admit(ref, inc, "", Owner{})
	p.o.spawned(ref, inc, pid, nil, nil)
	p.turn()
	return inc
}

// kill ends a process with all it has said.
func (p *past) kill(name string, wid int, inc topology.Incarnation) {
	ref := topology.Ref{Name: name, WID: wid}
	i := p.o.find(ref, inc)
	p.o.gone(ref, inc, "killed by signal 9 (SIGKILL)", []string{"a last line"})
	p.o.inputEnded(i.peer, nil)
	p.turn()
}

// hear hands in what came through a link: the fields of a vector, joined by blanks, then its payload.
func (p *past) hear(link string, vectors ...string) {
	var frame []byte
	for _, v := range vectors {
		frame = appendArrival(frame, "127.0.0.1", []byte(spell(v)))
	}
	p.o.frame(p.ports[link].peer, frame)
	p.turn()
}

// spell writes a vector: "|" stands for NUL.
func spell(v string) string { return strings.ReplaceAll(v, "|", "\x00") }

// sent takes what was sent through a link; the socket has taken all of it.
func (p *past) sent(link string) []string {
	port := p.ports[link]
	var out []string
	for _, f := range port.peer.box.take(nil) {
		out = append(out, strings.ReplaceAll(string(f), "\x00", "|"))
		port.peer.v1.taken.Add(1)
	}
	return out
}

func (p *past) want(link string, want ...string) {
	p.t.Helper()
	if got := p.sent(link); !slices.Equal(got, want) {
		p.t.Errorf("%s sent %q, want %q", link, got, want)
	}
}

// later lets time pass.
func (p *past) later(d time.Duration) {
	p.o.now += int64(d)
	p.turn()
	p.turn()
}

func (p *past) ledger(step string) Ledger {
	p.t.Helper()
	for _, q := range p.o.t.queues(p.o.now) {
		if !q.Ledger.Balanced() {
			p.t.Errorf("%s: %+v does not balance", q.Step, q.Ledger)
		}
		if q.Step == step {
			return q.Ledger
		}
	}
	return Ledger{}
}

const order = "here:master:0:4711:cpu|clock(0):cpu:load:%d:INIT:1|simplejson|{}"

// tell is a report of a worker about task n.
func tell(event, next string, pid, n int) string {
	return fmt.Sprintf("here:cpu:0:%d:%s|clock(0):cpu:load:%d:%s:2|simplejson|{\"a\":1}", pid, next, n, event)
}

// The way of an order through the orchester is byte for byte that of DSAT 0.6, and so is what it reports.
func TestLegacyOrderIsForwardedAsDSATDid(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"))
	p.spawn("cpu", 0, 815)
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 41))
	p.want("PUSH_ORCHESTER_cpu", "here:orchester:0:99:cpu|clock(0):cpu:load:42:INIT:2|simplejson|{}")
	p.want("PUB_TRACKER_any", "here:master:0:99:cpu|clock(0):cpu:load:41:ACK:1|simplejson|{}", "here:orchester:0:99:cpu|clock(0):cpu:load:42:SEND:2|simplejson|{}")
	p.hear("PUSH_any_TRACKER", tell("ACK", "unset", 815, 42))
	p.want("PUB_TRACKER_any", strings.ReplaceAll(spell(tell("ACK", "unset", 815, 42)), "\x00", "|"))
	if l := p.ledger("cpu"); l.InFlight != 1 {
		t.Errorf("%+v", l)
	}
	p.hear("PUSH_any_TRACKER", tell("HAPPY_END", "TERMINUS", 815, 42), tell("HAPPY_END", "TERMINUS", 815, 42))
	if l := p.ledger("cpu"); l.Done != 1 || l.InFlight != 0 {
		t.Errorf("%+v", l)
	}
	if e := p.o.legacy.steps["cpu"]; e.twice != 1 || e.late != 0 || len(e.flights) != 0 || len(e.byKey) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestLegacyRefusesWhatItCannotRoute(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"), old("clock"))
	p.hear("PUSH_any_ORCHESTER", "hello", "a:b|c", "here:s:0:1:n|e:nobody:c:1:INIT:1|str|x", "there:s:0:1:n|e:cpu:c:1:INIT:1|str|x",
		"here:s:0:1:n|e:cpu:c:1:SEND:1|str|x", "here:s:0:1:n|e:cpu:c:1:INIT:one|str|x", "here:s:0:1:n|e:cpu:c:1:INIT:1|pickle|x",
		"here:s:0:1:n|e:clock:c:1:INIT:1|str|x", "")
	port := p.ports["PUSH_any_ORCHESTER"]
	if got := fmt.Sprint(port.malformed, port.refused, port.in, port.peers); got != "map[parts:3] map[field:1 number:1 serialization:1 type:2 where:1] 9 map[127.0.0.1:9]" {
		t.Error(got)
	}
	p.hear("PUSH_any_TRACKER", "here:nobody:0:1:n|e:cpu:c:1:ACK:1|str|x", tell("ACK", "unset", 1, 1), tell("HAPPY_END", "TERMINUS", 1, 1), tell("ERROR", "unset", 1, 1))
	if e := p.o.legacy.steps["cpu"]; e.late != 3 || p.ports["PUSH_any_TRACKER"].refused["step"] != 1 {
		t.Errorf("%+v", e)
	}
	if l := p.o.t.ledger(); l.Admitted != 0 {
		t.Errorf("%+v", l)
	}
}

// A new satellite's messages become vectors, and what the old one makes of them goes where its links lead.
func TestLegacyAndNewSatellitesTalk(t *testing.T) {
	p := newPast(t, append(oldLinks, "PUSH_cpu_CSV"), topology.V1Quarantine, sat("clock", "cpu"), old("cpu", "csv"), sat("csv"))
	clock := p.join("clock", 0, 1, wire.HelloBody{Source: true})
	csv := p.join("csv", 0, 2, wire.HelloBody{})
	p.spawn("cpu", 0, 815)
	clock.emitJSON(`{"n":1}`)
	p.turn()
	sent := p.sent("PUSH_ORCHESTER_cpu")
	v, err := v1.Parse([]byte(spell(sent[0])))
	if err != nil || string(v.Emitter) != "clock" || string(v.Type) != "cpu" || string(v.Payload) != `{"n":1}` || string(v.Serialization) != "simplejson" || v.Check() != nil {
		t.Fatalf("%q, %v", sent, err)
	}
	report := fmt.Sprintf("here:cpu:0:815:unset|%s:cpu::%s:%%s:%s|simplejson|{\"n\":2}", v.Emitter, v.TaskID, v.Seq)
	p.hear("PUSH_any_TRACKER", fmt.Sprintf(report, "ACK"), fmt.Sprintf(report, "HAPPY_END"))
	if l := p.ledger("cpu"); l.InFlight != 1 {
		t.Errorf("done before its output is there: %+v", l)
	}
	p.hear("PUSH_cpu_CSV", strings.Replace(fmt.Sprintf(report, "SEND"), ":unset|", ":csv|", 1))
	if l := p.ledger("cpu"); l.Done != 1 {
		t.Errorf("%+v", l)
	}
	recs := csv.look()
	if len(recs) == 0 || string(recs[len(recs)-1].Body) != `{"n":2}` || recs[len(recs)-1].Codec != wire.JSON || recs[len(recs)-1].Hops != 2 {
		t.Errorf("csv got %+v", recs)
	}
	if p.o.t.tasks.live != 1 {
		t.Errorf("%d tasks: the output is not of the task", p.o.t.tasks.live)
	}
}

// What cannot be said in this protocol fails with the reason, and goes to quarantine.
func TestLegacyUnfit(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"))
	p.spawn("cpu", 0, 815)
	for _, c := range []struct {
		codec wire.Codec
		body  string
	}{{wire.CBOR, "\x01"}, {wire.Raw, "a\x00b"}} {
		p.o.t.inject(p.o.now, p.o.byName["cpu"], message{codec: uint16(c.codec), from: outside, body: p.o.t.bodies.copy([]byte(c.body))}, none)
	}
	p.hear("PUSH_any_ORCHESTER", "here:s:0:1:n|e:cpu:c:1:INIT:1|str|a\x00b")
	p.later(0)
	if l := p.ledger("cpu"); l.Quarantined != 3 {
		t.Errorf("%+v", l)
	}
	p.want("PUSH_ORCHESTER_cpu")
	for _, m := range p.o.t.aside.list {
		if !strings.Contains(m.reason, "DSAT 0.6 satellite cannot read") {
			t.Errorf("%q", m.reason)
		}
	}
}

// A queue that is full blocks nobody else: all sources share one endpoint.
func TestLegacyFullQueue(t *testing.T) {
	for full, want := range map[topology.V1Full]string{topology.V1Quarantine: "held 2, in quarantine 3, dropped 0, waiting 0", topology.V1Drop: "held 2, in quarantine 0, dropped 3, waiting 0",
		topology.V1Block: "held 2, in quarantine 0, dropped 0, waiting 4"} {
		t.Run(string(full), func(t *testing.T) {
			cpu := old("cpu")
			cpu.Queue.MaxMessages = 2
			p := newPast(t, oldLinks, full, cpu, sat("csv"))
			csv := p.join("csv", 0, 1, wire.HelloBody{})
			for n := range 5 {
				p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, n))
			}
			p.hear("PUSH_any_ORCHESTER", strings.Replace(fmt.Sprintf(order, 7), ":cpu:load", ":csv:load", 1))
			port := p.ports["PUSH_any_ORCHESTER"]
			l := p.ledger("cpu")
			if got := fmt.Sprintf("held %d, in quarantine %d, dropped %d, waiting %d", l.Held, l.Quarantined, l.Dropped, len(port.pending)); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if got := len(csv.only(wire.Data)); (got == 1) != (full != topology.V1Block) {
				t.Errorf("csv got %d", got)
			}
			p.spawn("cpu", 0, 100)
			p.later(0)
			if full == topology.V1Block && len(port.pending) != 0 {
				t.Errorf("%d wait still", len(port.pending))
			}
			if n := p.o.t.ledger(); n.Admitted != 6 || !n.Balanced() {
				t.Errorf("%+v", n)
			}
		})
	}
}

// A worker that is drained gets nothing more, and is waited for with what it has.
func TestLegacyDrain(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"))
	inc := p.spawn("cpu", 0, 100)
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 0))
	p.sent("PUSH_ORCHESTER_cpu")
	done := make(chan struct{})
	p.o.drain(topology.Ref{Name: "cpu"}, inc, done)
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 1))
	p.want("PUSH_ORCHESTER_cpu")
	select {
	case <-done:
		t.Error("drained with a message on its way to it")
	default:
	}
	p.hear("PUSH_any_TRACKER", tell("ACK", "TERMINUS", 100, 1), tell("HAPPY_END", "TERMINUS", 100, 1))
	select {
	case <-done:
	default:
		t.Error("not drained")
	}
	p.kill("cpu", 0, inc)
	p.spawn("cpu", 0, 200)
	p.later(time.Duration(deadQuiet))
	if got := len(p.sent("PUSH_ORCHESTER_cpu")); got != 1 {
		t.Errorf("%d sent", got)
	}
}

// An order that a worker gives while it handles a message belongs to the same task.
func TestLegacyBounceStaysInItsTask(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"), sat("csv"))
	p.spawn("cpu", 0, 100)
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 0))
	p.hear("PUSH_any_TRACKER", tell("ACK", "unset", 100, 1))
	p.hear("PUSH_any_ORCHESTER", "here:cpu:0:100:unset|clock(0):csv:load:1:BOUNCE:9|str|x")
	if n := p.o.t.tasks.live; n != 1 {
		t.Errorf("%d tasks", n)
	}
	if h := p.o.t.hops.at(p.o.byName["csv"].waiting.head); h.hops != 9 {
		t.Errorf("it has passed %d steps", h.hops)
	}
}

// Upgrades and changes of language take along what waits.
func TestLegacyVectorsSurvive(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Block, old("cpu"))
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 0))
	p.o.t.frozen = true
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 1))
	p.o.takeIn()
	k := p.o.t.keep(p.o.now)
	next := newStage(t, sat("cpu"))
	next.o.restore(k)
	cpu := next.admit("cpu", 0, 1)
	cpu.hello(wire.HelloBody{})
	got := cpu.only(wire.Data)
	if len(got) != 2 || string(got[1].Body) != "{}" || got[1].Codec != wire.JSON {
		t.Errorf("%+v", got)
	}
}

// What no link leads to can be sent nothing, and says so.
func TestLegacyUnreachable(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"), old("clock"))
	if got := p.ask(&sending{}, "clock", "x").state(t); !strings.Contains(got, "no link of [bus.v1] leads from dsatd to it") {
		t.Error(got)
	}
	p.o.byName["cpu"].shut = true
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 0))
	if n := len(p.o.t.aside.list); n != 1 || !strings.HasPrefix(p.o.t.aside.list[0].reason, "its queue is drained") {
		t.Errorf("%d aside", n)
	}
}

// Processes are counted one by one, and told worn.
func TestLegacyWorn(t *testing.T) {
	cpu := old("cpu")
	cpu.Recycle.Messages = 2
	p := newPast(t, oldLinks, topology.V1Quarantine, cpu)
	var worn []string
	p.o.bus.cfg.Worn = func(r topology.Ref, _ topology.Incarnation, why string) { worn = append(worn, r.String()+": "+why) }
	p.spawn("cpu", 0, 100)
	for n := range 3 {
		p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, n))
		p.hear("PUSH_any_TRACKER", tell("ACK", "TERMINUS", 100, n+1), tell("HAPPY_END", "TERMINUS", 100, n+1))
	}
	if got := strings.Join(worn, "; "); got != "cpu:0: it has handled 2 messages" {
		t.Error(got)
	}
}

// A step that is sent nothing though it has processes says why.
func TestLegacyReasons(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"))
	a := p.spawn("cpu", 0, 100)
	b := p.spawn("cpu", 1, 200)
	cpu := p.o.byName["cpu"]
	if why := whyLegacy(p.o.t, p.o.now, cpu); why != "" {
		t.Errorf("%q", why)
	}
	p.o.drain(topology.Ref{Name: "cpu", WID: 1}, b, make(chan struct{}))
	if why := whyLegacy(p.o.t, p.o.now, cpu); !strings.Contains(why, "cpu:1 is being stopped") {
		t.Errorf("%q", why)
	}
	p.kill("cpu", 1, b)
	if why := whyLegacy(p.o.t, p.o.now, cpu); !strings.Contains(why, "has just died") {
		t.Errorf("%q", why)
	}
	p.later(time.Duration(deadQuiet))
	if why := whyLegacy(p.o.t, p.o.now, cpu); why != "" {
		t.Errorf("%q", why)
	}
	p.kill("cpu", 0, a)
}
