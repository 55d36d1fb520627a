package bus

import (
	"io"
	"log/slog"
	"testing"

	"github.com/dsat/dsat/bus/wire"
)

func discardLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// pump carries messages of 64 bytes from a source over the loop to a worker that acknowledges ranges, without any carrier.
type pump struct {
	st       *stage
	src, wrk *actor
	emits    wire.Builder
	dones    wire.Builder
	frames   [][]byte
	rec      wire.Record
	text     []byte
	handled  int
}

func newPump(t testing.TB) *pump {
	st := newStage(t, sat("gen", "null"), sat("null"))
	return &pump{st: st, text: make([]byte, 64), src: st.join("gen", 0, 1, wire.HelloBody{Source: true}), wrk: st.join("null", 0, 2, wire.HelloBody{Concurrency: 1})}
}

// round emits one frame, hands the worker's frames to it and its answers to the loop.
func (p *pump) round() {
	o := p.st.o
	p.emits.Reset()
	for p.emits.Fits(len(p.text)) {
		p.src.seq++
		p.emits.Add(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: wire.AllLinks, N: p.src.seq}, p.text)
	}
	o.now = o.bus.now()
	o.frame(p.src.p, p.emits.Frame())
	o.endTurn()
	p.dones.Reset()
	p.frames = p.wrk.p.box.take(p.frames)
	for _, f := range p.frames {
		p.answer(f)
		p.wrk.p.pool.put(f)
	}
	if p.dones.Count() > 0 {
		o.frame(p.wrk.p, p.dones.Frame())
		o.endTurn()
	}
	p.frames = p.src.p.box.take(p.frames)
	for _, f := range p.frames {
		p.src.p.pool.put(f)
	}
}

func (p *pump) answer(f []byte) {
	r, err := wire.Parse(f)
	if err != nil {
		panic(err)
	}
	first, last := uint64(0), uint64(0)
	for r.Next(&p.rec) {
		if p.rec.Kind == wire.Data {
			if first == 0 {
				first = p.rec.N
			}
			last = p.rec.N
			p.handled++
		}
	}
	if first > 0 {
		p.dones.Add(&wire.Header{Kind: wire.Done, Epoch: 7, N: first, M: last}, nil)
	}
}

func TestTheLoopAllocatesNothingPerMessage(t *testing.T) {
	p := newPump(t)
	for range 100 {
		p.round()
	}
	before := p.handled
	allocs := testing.AllocsPerRun(200, p.round)
	if n := (p.handled - before) / 201; n < 500 || allocs > 0 {
		t.Errorf("%v allocations a round of %d messages", allocs, n)
	}
	p.st.ledger()
}

func BenchmarkLoop64B(b *testing.B) {
	p := newPump(b)
	b.ReportAllocs()
	b.ResetTimer()
	for p.handled < b.N {
		p.round()
	}
}
