package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/dsat/dsat/bus/rules"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// routed is a source gen with links to sinks, each of which is joined.
type routed struct {
	*stage
	gen   *actor
	sinks map[string]*actor
}

func newRouted(t testing.TB, route topology.Route, links ...topology.Link) *routed {
	t.Helper()
	gen := sat("gen")
	gen.To, gen.Route = links, route
	var names []string
	for _, l := range links {
		for _, name := range l.Ends() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	sats := []*topology.Satellite{gen}
	for _, name := range names {
		sats = append(sats, sat(name))
	}
	if err := misruled(topo(sats...)); err != nil {
		t.Fatal(err)
	}
	r := &routed{stage: newStage(t, sats...), sinks: map[string]*actor{}}
	for _, name := range names {
		r.sinks[name] = r.join(name, 0, 1, wire.HelloBody{Concurrency: 1})
	}
	r.gen = r.join("gen", 0, 1, wire.HelloBody{Source: true})
	return r
}

// got is what each sink was given since the last time, "a: 1 2; b: 3", in the order of their names; all of it is answered.
func (r *routed) got() string {
	r.t.Helper()
	var parts []string
	for name, a := range r.sinks {
		var bodies []string
		for _, rec := range a.only(wire.Data) {
			bodies = append(bodies, string(rec.Body))
			a.done(rec.N)
		}
		if len(bodies) > 0 {
			parts = append(parts, name+": "+strings.Join(bodies, " "))
		}
	}
	slices.Sort(parts)
	r.ledger()
	return strings.Join(parts, "; ")
}

func (r *routed) emitJSON(bodies ...string) {
	r.gen.b.Reset()
	for _, s := range bodies {
		r.gen.seq++
		r.gen.b.Add(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: wire.AllLinks, Codec: wire.JSON, N: r.gen.seq}, []byte(s))
	}
	r.gen.frame(r.gen.b.Frame())
}

func TestMessagesTakeTheLinksTheyAreMeantFor(t *testing.T) {
	to := func(name string) topology.Link { return topology.Link{To: name} }
	when := func(name, cond string) topology.Link { return topology.Link{To: name, When: cond} }
	for name, c := range map[string]struct {
		route topology.Route
		links []topology.Link
		emit  string
		want  string
	}{
		"conditions": {links: []topology.Link{to("all"), when("high", "payload > 2")}, emit: "1 2 3 4", want: "all: 1 2 3 4; high: 3 4"},
		"one in":     {links: []topology.Link{{To: "a", When: "payload > 1", OneIn: 3}}, emit: "1 2 1 3 4 5 1 6", want: "a: 2 5"},
		"memory":     {links: []topology.Link{when("a", "changed(payload)")}, emit: "1 1 2 2 1", want: "a: 1 2 1"},
		"first": {route: topology.Route{Mode: topology.RouteFirst}, links: []topology.Link{when("small", "payload < 2"), when("mid", "payload < 4"), to("big")},
			emit: "1 2 3 4 5", want: "big: 4 5; mid: 2 3; small: 1"},
		"fallback": {links: []topology.Link{{To: "rest", Fallback: true}, when("a", "payload == 1"), when("b", "payload < 3")}, emit: "1 2 3 4",
			want: "a: 1; b: 1 2; rest: 3 4"},
		"errors":                              {links: []topology.Link{when("a", "payload.x > 1"), {To: "b", When: "payload.x > 1", Errors: true}}, emit: `{"x":2} 5 {} {"x":1}`, want: `a: {"x":2}; b: {"x":2} 5 {}`},
		"broken json":                         {links: []topology.Link{when("a", "payload > 1"), to("b")}, emit: "2 {x", want: "a: 2; b: 2 {x"},
		"mirror":                              {links: []topology.Link{{To: "a", When: "payload > 1", Mirror: []string{"copy"}}}, emit: "1 2 3", want: "a: 2 3; copy: 2 3"},
		"moved all":                           {links: []topology.Link{{To: "a", Move: topology.Move{To: "b", Percent: 100}}}, emit: "1 2", want: "b: 1 2"},
		"moved none":                          {links: []topology.Link{{To: "a", Move: topology.Move{To: "b", Percent: 0}}}, emit: "1 2", want: "a: 1 2"},
		"too large":                           {links: []topology.Link{when("a", "size > 10 and payload != nil"), to("b")}, emit: strings.Repeat("1", maxLook+1), want: "b: " + strings.Repeat("1", maxLook+1)},
		"large, only its header is looked at": {links: []topology.Link{when("a", "size > 10")}, emit: strings.Repeat("1", maxLook+1), want: "a: " + strings.Repeat("1", maxLook+1)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouted(t, c.route, c.links...)
			r.emitJSON(strings.Fields(c.emit)...)
			if got := r.got(); got != c.want {
				t.Errorf("%.200s, want %.200s", got, c.want)
			}
		})
	}
}

func TestWhatMatchesNothingEndsAndIsCounted(t *testing.T) {
	r := newRouted(t, topology.Route{}, topology.Link{To: "a", When: "payload > 5"}, topology.Link{To: "b", When: "payload.x > 5"})
	r.emitJSON("1", "2", "9")
	if got := r.got(); got != "a: 9" {
		t.Error(got)
	}
	s := r.o.t.steps[0]
	if s.router.unrouted != 2 || s.flowTo("a").taken != 1 || s.flowTo("a").skipped != 2 || s.flowTo("b").failed != 3 || s.flowTo("b").last == "" {
		t.Errorf("unrouted %d, a %+v, b %+v", s.router.unrouted, s.flowTo("a"), s.flowTo("b"))
	}
	if r.o.t.tasks.live != 0 || r.o.t.hops.live != 0 {
		t.Errorf("%d tasks and %d hops are left", r.o.t.tasks.live, r.o.t.hops.live)
	}
	if s.accepted(r.gen) != 3 {
		t.Error("the source was not told that they are accepted")
	}
}

func (s *step) accepted(a *actor) uint64 { return a.p.sess.accepted }

func TestASatelliteChoosesALinkByItsName(t *testing.T) {
	r := newRouted(t, topology.Route{}, topology.Link{To: "a", When: "false"}, topology.Link{To: "b"})
	r.gen.seq++
	r.gen.say(&wire.Header{Kind: wire.Emit, Epoch: 7, N: r.gen.seq, Port: uint16(slices.Index(linkNames(r.o.t.steps[0].routes, r.o.t.steps[0].to), "a"))}, []byte("1"))
	if got := r.got(); got != "a: 1" {
		t.Errorf("%s: its satellite has decided", got)
	}
}

func TestHashKeepsTogetherAndMovesFew(t *testing.T) {
	place := func(names ...string) map[string]string {
		var links []topology.Link
		for _, n := range names {
			links = append(links, topology.Link{To: n})
		}
		r := newRouted(t, topology.Route{Mode: topology.RouteHash, By: "payload.k"}, links...)
		at := map[string]string{}
		for i := range 200 {
			body := fmt.Sprintf(`{"k":"key%d"}`, i)
			r.emitJSON(body, body)
			got := r.got()
			name, bodies, _ := strings.Cut(got, ": ")
			if bodies != body+" "+body {
				t.Fatalf("two of one key: %s", got)
			}
			at[body] = name
		}
		return at
	}
	three, four := place("a", "b", "c"), place("a", "b", "c", "d")
	count, moved := map[string]int{}, 0
	for k, name := range four {
		count[name]++
		if name != three[k] {
			moved++
			if name != "d" {
				t.Errorf("%s has moved from %s to %s", k, three[k], name)
			}
		}
	}
	if moved == 0 || moved > 90 || len(count) != 4 {
		t.Errorf("%d have moved, %v", moved, count)
	}
}

func TestACanaryIsStable(t *testing.T) {
	share := func(percent float64) map[uint64]bool {
		r := newRouted(t, topology.Route{}, topology.Link{To: "old", Move: topology.Move{To: "new", Percent: percent}})
		moved := map[uint64]bool{}
		for range 20 {
			r.emitJSON(slices.Repeat([]string{"1"}, 100)...)
			for _, rec := range r.sinks["new"].only(wire.Data) {
				moved[rec.M] = true
				r.sinks["new"].done(rec.N)
			}
			r.got()
		}
		return moved
	}
	ten, twenty := share(10), share(20)
	if len(ten) < 120 || len(ten) > 280 || len(twenty) < 300 || len(twenty) > 500 {
		t.Errorf("%d and %d of 2000 tasks have moved", len(ten), len(twenty))
	}
	for id := range ten {
		if !twenty[id] {
			t.Errorf("task %d moves at 10 %% and not at 20 %%", id)
		}
	}
}

func TestRulesRememberOverAChange(t *testing.T) {
	r := newRouted(t, topology.Route{}, topology.Link{To: "a", When: "changed(payload)", OneIn: 2})
	r.emitJSON("1", "1", "2")
	if got := r.got(); got != "a: 1" {
		t.Fatal(got)
	}
	gen := *r.o.bus.topology.Load().Satellites[0]
	gen.To = []topology.Link{{To: "a", When: "changed(payload)", OneIn: 2}, {To: "b", When: "changed(payload)"}}
	next := topo(&gen, sat("a"), sat("b"))
	if err := r.o.apply(next, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	r.sinks["b"] = r.join("b", 0, 1, wire.HelloBody{Concurrency: 1})
	r.emitJSON("2", "3", "4")
	if got := r.got(); got != "a: 3; b: 2 3 4" {
		t.Errorf("%s: a has to remember 2 and its count, b is new", got)
	}
	gen.To = []topology.Link{{To: "a", When: "payload +"}}
	if err := r.o.apply(topo(&gen, sat("a")), ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "gen.to.a.when") {
		t.Errorf("a change with a broken condition: %v", err)
	}
}

func TestOutputsAreRoutedToo(t *testing.T) {
	gen, mid, a := sat("gen", "mid"), sat("mid"), sat("a")
	mid.To = []topology.Link{{To: "a", When: `payload == "yes" and from == "mid" and step == "a" and attempts == 1 and hops == 2`}}
	st := newStage(t, gen, mid, a)
	src, w, sink := st.join("gen", 0, 1, wire.HelloBody{Source: true}), st.join("mid", 0, 1, wire.HelloBody{}), st.join("a", 0, 1, wire.HelloBody{})
	src.emit("1")
	w.done(w.only(wire.Data)[0].N, "no", "yes", "no")
	if got := sink.only(wire.Data); len(got) != 1 || string(got[0].Body) != "yes" {
		t.Errorf("%v", got)
	}
	if st.ledger(); st.o.t.steps[1].router.unrouted != 2 {
		t.Error("unrouted outputs are not counted")
	}
}

func TestLinksWithoutConditionsAllocateNothing(t *testing.T) {
	p := newPump(t)
	if p.st.o.t.steps[0].router != nil || p.st.o.t.steps[0].looks {
		t.Error("a plain link has a router")
	}
}

func benchmarkRouted(b *testing.B, key string, link topology.Link, body string) {
	gen, null := sat("gen"), sat("null")
	link.To = "null"
	gen.To, null.Work.Key = []topology.Link{link}, key
	st := newStage(b, gen, null)
	p := &pump{st: st, src: st.join("gen", 0, 1, wire.HelloBody{Source: true}), wrk: st.join("null", 0, 2, wire.HelloBody{Concurrency: 1})}
	p.text = []byte(body)
	b.ReportAllocs()
	b.ResetTimer()
	for p.handled < b.N {
		p.round()
	}
}

func BenchmarkLoopRouted(b *testing.B) {
	const body = `{"host":"alpha","load1":4.25,"load5":3.1,"cpu":{"user":12.5,"sys":3.25,"idle":84.25},"disks":[{"name":"sda","used":81},{"name":"sdb","used":93}],"tags":["a","b"],"time":1700000000,"message":"x y z 0123"}`
	b.Run("plain", func(b *testing.B) { benchmarkRouted(b, "", topology.Link{}, body) })
	b.Run("header", func(b *testing.B) { benchmarkRouted(b, "", topology.Link{When: "hops < 5"}, body) })
	b.Run("payload", func(b *testing.B) { benchmarkRouted(b, "", topology.Link{When: "payload.load1 > 4"}, body) })
	b.Run("sample", func(b *testing.B) { benchmarkRouted(b, "", topology.Link{Sample: 99.9}, body) })
	b.Run("key", func(b *testing.B) { benchmarkRouted(b, "task", topology.Link{}, body) })
}

func TestRulesLookIntoWhatTheyCan(t *testing.T) {
	for text, c := range map[string]struct {
		codec   wire.Codec
		payload string
		want    bool
	}{
		`payload.a == 1`:             {wire.CBOR, "\xa1\x61a\x01", true},
		`payload.a % 2 == 1`:         {wire.CBOR, "\xa1\x61a\x01", true},
		`payload.b == nil`:           {wire.CBOR, "\xff", false},
		`payload.a == 2`:             {wire.Text, `{"a":2}`, true},
		`payload == "{a"`:            {wire.Text, "{a", true},
		`payload[0] in [1, 3]`:       {wire.Raw, "[3]", true},
		`codec == "raw" && size > 0`: {wire.Raw, "\x00\xff", true},
		`payload.x.y == 1`:           {wire.JSON, `{"x":1}`, false},
		`int(payload.n) % 2 == 0`:    {wire.JSON, `{"n":4}`, true},
		`payload == 1`:               {wire.Codec(999), "1", false},
	} {
		l := &link{spec: topology.Link{To: "a", When: text}, when: ruleFor(text, rules.Bool, nil), flow: &flow{}}
		st := newStage(t, sat("gen", "a"), sat("a"))
		tr := st.o.t
		task := tr.begin(0, none)
		m := message{codec: uint16(c.codec), body: tr.bodies.copy([]byte(c.payload))}
		tr.show(0, tr.steps[0], task, &m)
		if got := tr.matches(l); got != c.want || !got && l.flow.failed != 1 {
			t.Errorf("%s on %q: %v, %s", text, c.payload, got, l.flow.last)
		}
	}
}
