package bus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/bus/wire"
)

// tapOn opens a view in the loop of a stage.
func tapOn(t *testing.T, st *stage, q TapQuery) *Tap {
	t.Helper()
	if q.Rate == 0 {
		q.Rate = 1e9
	}
	if err := st.o.tapable(&q); err != nil {
		t.Fatal(err)
	}
	v := &Tap{b: st.o.bus, query: q, c: make(chan Tapped, tapBuffer), every: uint64(max(q.Sample, 1)), counts: map[[2]string]*LinkCount{}}
	st.o.taps = append(st.o.taps, v)
	return v
}

// viewed is all that a view has at the moment, as "from->instance payload".
func viewed(v *Tap) (all []string) {
	for len(v.c) > 0 {
		m := <-v.c
		all = append(all, fmt.Sprintf("%s->%s %s", m.From, m.Instance, m.JSON()))
	}
	return all
}

func TestTapShowsWhatIsGiven(t *testing.T) {
	st := newStage(t, sat("gen", "a", "b"), sat("a", "b"), sat("b"))
	gen, a, b := st.join("gen", 0, 1, source), st.join("a", 0, 2, wire.HelloBody{}), st.join("b", 0, 3, wire.HelloBody{})
	toB, link, out := tapOn(t, st, TapQuery{To: "b"}), tapOn(t, st, TapQuery{From: "a", To: "b"}), tapOn(t, st, TapQuery{To: "gen"})
	gen.emit("1")
	d := a.only(wire.Data)
	a.done(d[0].N, "2")
	b.look()
	for v, want := range map[*Tap][]string{
		toB:  {`gen->b:0 {"base64":"MQ==","text":"1"}`, `a->b:0 "2"`},
		link: {`a->b:0 "2"`},
		out:  {`gen->a:0 {"base64":"MQ==","text":"1"}`, `gen->b:0 {"base64":"MQ==","text":"1"}`},
	} {
		if diff := cmp.Diff(want, viewed(v)); diff != "" {
			t.Errorf("%+v: %s", v.query, diff)
		}
	}
	b.die("killed") // what it had in hand is given to the next one, and seen again
	b = st.join("b", 0, 4, wire.HelloBody{})
	b.look()
	m := <-toB.c
	if m.Attempt != 2 || m.Task == "" || m.ID == "" || m.Size != 1 || m.Codec != "raw" || m.Age < 0 {
		t.Errorf("%+v", m)
	}
	toB.Close()
	st.turn()
	if len(st.o.taps) != 2 {
		t.Errorf("%d views are left", len(st.o.taps))
	}
}

func TestTapLeavesOutAndLoses(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	third, slow, rare, counted := tapOn(t, st, TapQuery{To: "w", Sample: 3}), tapOn(t, st, TapQuery{To: "w"}), tapOn(t, st, TapQuery{To: "w", Rate: 1e-6}), tapOn(t, st, TapQuery{Count: true})
	many := make([]string, tapBuffer+7)
	for i := range many {
		many[i] = strings.Repeat("x", i)
	}
	gen.emit(many...)
	w.look()
	if first, second := <-third.c, <-third.c; first.Skipped != 0 || second.Skipped != 2 || second.Size != 3 {
		t.Errorf("%+v %+v", first, second)
	}
	if n := len(viewed(slow)); n != tapBuffer || slow.lost != 7 {
		t.Errorf("a viewer that does not read got %d and has lost %d", n, slow.lost)
	}
	if n := len(viewed(rare)); n != 1 || rare.skipped != uint64(len(many)-1) {
		t.Errorf("%d came at a rate of one in eleven days", n)
	}
	gen.emit("after")
	w.look()
	if m := <-slow.c; m.Lost != 7 || m.Size != 5 {
		t.Errorf("it is told of %d lost", m.Lost)
	}
	if c := counted.counts[[2]string{"gen", "w"}]; c == nil || c.Messages != uint64(len(many)+1) || c.Bytes != uint64(len(many)*(len(many)-1)/2+5) || len(counted.c) > 0 {
		t.Errorf("counted %+v", c)
	}
}

// Of a long payload a viewer gets the beginning: a tap copies little, whatever goes over the link.
func TestTapCopiesLittle(t *testing.T) {
	st := newStage(t, sat("gen", "w"), sat("w"))
	gen, w := st.join("gen", 0, 1, source), st.join("w", 0, 2, wire.HelloBody{})
	v := tapOn(t, st, TapQuery{To: "w"})
	gen.emit(strings.Repeat("x", tapWhole+1))
	w.look()
	if m := <-v.c; len(m.Payload) != tapPart || m.Size != tapWhole+1 || !strings.Contains(string(m.JSON()), `"text":"xxx`) {
		t.Errorf("%d bytes of %d", len(m.Payload), m.Size)
	}
}

func TestTapIsRefusedWithAReason(t *testing.T) {
	site := sat("site")
	site.Speaks = "none"
	s := serve(t, sat("gen", "w"), sat("w", "end"), sat("end"), site)
	for _, c := range []struct {
		q    TapQuery
		kind Kind
		want string
	}{
		{TapQuery{To: "nobody"}, KindNotFound, "no such satellite"},
		{TapQuery{To: "site"}, KindInvalid, "does not speak to the bus"},
		{TapQuery{From: "gen", To: "end"}, KindNotFound, "there is no such link"},
		{TapQuery{}, KindInvalid, "want a step"},
		{TapQuery{To: "w", Sample: -1}, KindInvalid, "not below 0"},
	} {
		if _, err := s.Tap(t.Context(), c.q); kindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.q, err)
		}
	}
	var open []*Tap
	for range mostTaps {
		v, err := s.Tap(t.Context(), TapQuery{To: "w"})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, v)
	}
	if _, err := s.Tap(t.Context(), TapQuery{To: "w"}); kindOf(err) != KindConflict {
		t.Error(err)
	}
	open[0].Close()
	v, err := s.Tap(t.Context(), TapQuery{Count: true})
	if err != nil {
		t.Fatal(err)
	}
	if counts, err := v.Counts(t.Context()); err != nil || len(counts) != 0 {
		t.Errorf("%v, %v", counts, err)
	}
}
