package satellites

import (
	"context"
	"testing"

	"github.com/dsat/dsat/bus/wire"
)

// BenchmarkWorker is one 64 B message from the reader to its acknowledgement in memory, in frames as under load.
func BenchmarkWorker(b *testing.B) {
	for _, c := range []int{1, 4} {
		b.Run(map[int]string{1: "one handler", 4: "four handlers"}[c], func(b *testing.B) {
			set, _ := apply([]Option{Concurrency(c)})
			n := newNode(Identity{Name: "cpu"}, set)
			n.worker = newWorker(func(context.Context, *Message, *Output) error { return nil }, set)
			defer n.worker.stop()
			s := &loop{node: n, left: b.N, perFrame: 400}
			b.ReportAllocs()
			b.ResetTimer()
			_ = n.serve(s)
		})
	}
}

// loop is a daemon that gives frames of DATA as long as less than a window is in hand.
type loop struct {
	node     *node
	left     int
	perFrame int
	inHand   int
	next     uint64
	builder  wire.Builder
	greeted  bool
	room     chan struct{}
}

func (l *loop) Context() context.Context { return context.Background() }

func (l *loop) Send(frame []byte) error {
	r, err := wire.Parse(frame)
	if err != nil {
		return err
	}
	var rec wire.Record
	n := 0
	for r.Next(&rec) {
		if rec.Kind == wire.Done {
			n += int(max(rec.N, rec.M) - rec.N + 1)
		}
	}
	for range n {
		l.room <- struct{}{}
	}
	return nil
}

func (l *loop) Recv(buf []byte) ([]byte, error) {
	l.builder.Reset()
	if !l.greeted {
		l.greeted = true
		l.room = make(chan struct{}, 1<<16)
		w := defaultWelcome
		w.Epoch = 1
		l.builder.Add(&wire.Header{Kind: wire.Welcome}, wire.AppendJSON(nil, w))
		return append(buf[:0], l.builder.Frame()...), nil
	}
	for ; l.inHand >= 8*l.perFrame || l.inHand > 0 && l.left == 0; l.inHand-- {
		<-l.room
	}
	if l.left == 0 {
		l.builder.Add(&wire.Header{Kind: wire.Bye}, nil)
		return append(buf[:0], l.builder.Frame()...), nil
	}
	var payload [64]byte
	for range min(l.perFrame, l.left) {
		l.next++
		l.builder.Add(&wire.Header{Kind: wire.Data, N: l.next}, payload[:])
		l.left--
		l.inHand++
	}
	return append(buf[:0], l.builder.Frame()...), nil
}

// BenchmarkProcesses is 64 B messages from a source in a process of its own, and to a worker in another, through go-plugin's
// stream and a daemon that only relays: what the SDK can do at most.
func BenchmarkProcesses(b *testing.B) {
	w := defaultWelcome
	w.InHand, w.EmitMessages, w.EmitBytes = 8192, 8192, 1<<20
	source, worker := spawn(b, "source"), spawn(b, "discard")
	source.welcome(b, w)
	worker.welcome(b, w)
	b.ResetTimer()
	accepted := make(chan int, 1<<16)
	go relay(source, worker, accepted)
	var buf []byte
	emits := wire.Builder{}
	for n := 0; n < b.N; {
		var err error
		if buf, err = worker.stream.Recv(buf); err != nil {
			b.Fatal(err)
		}
		r, err := wire.Parse(buf)
		if err != nil {
			b.Fatal(err)
		}
		var rec wire.Record
		var last uint64
		for r.Next(&rec) {
			last = max(rec.N, rec.M)
		}
		n = int(last)
		emits.Reset()
		emits.Add(&wire.Header{Kind: wire.Accepted, Epoch: 1, N: last}, nil)
		if err := source.stream.Send(emits.Frame()); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	_ = source.cmd.Process.Kill()
	<-accepted
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// relay turns EMITs into DATA until the source ends.
func relay(source, worker *child, done chan<- int) {
	defer close(done)
	var buf []byte
	var out wire.Builder
	frames, records := 0, 0
	for {
		var err error
		if buf, err = source.stream.Recv(buf); err != nil {
			done <- records / max(frames, 1)
			return
		}
		frames++
		r, _ := wire.Parse(buf)
		var rec wire.Record
		out.Reset()
		for r.Next(&rec) {
			records++
			rec.Kind, rec.M, rec.ID = wire.Data, rec.N, rec.N
			out.Add(&rec.Header, rec.Body)
		}
		if out.Count() == 0 || worker.stream.Send(out.Frame()) != nil {
			done <- records / max(frames, 1)
			return
		}
	}
}
