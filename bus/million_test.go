package bus

import (
	"runtime"
	"testing"
	"unsafe"

	"github.com/dsat/dsat/bus/wire"
)

// A million messages in flight take 200 MB at most, beyond their payloads: that is 200 bytes for a hop, its state and step, its task, and
// what knows its payload. What only some hops need is in tables beside.
func TestAMessageInFlightTakesTwoHundredBytes(t *testing.T) {
	for what, size := range map[string]uintptr{"hop": unsafe.Sizeof(hop{}), "task": unsafe.Sizeof(task{})} {
		if size > 64 {
			t.Errorf("a %s takes %d bytes, want at most 64", what, size)
		}
	}
	if each := unsafe.Sizeof(page{})/pageSize + unsafe.Sizeof(task{}) + unsafe.Sizeof(body{}); each > 200 {
		t.Errorf("a message takes %d bytes beside its payload, want at most 200", each)
	}
}

// The same as the collector counts it, with all that admitting them leaves behind.
func TestWhatManyMessagesInFlightTake(t *testing.T) {
	if raceEnabled {
		t.Skip("counts bytes, of which the race detector has its own")
	}
	const messages, most = 200_000, 200
	to := sat("null")
	to.Queue.MaxMessages = 2 * messages
	st := newStage(t, sat("gen", "null"), to)
	src := st.join("gen", 0, 1, wire.HelloBody{Source: true})
	payload := make([]byte, 64)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var frame wire.Builder
	for src.seq < messages {
		frame.Reset()
		for frame.Fits(len(payload)) {
			src.seq++
			frame.Add(&wire.Header{Kind: wire.Emit, Epoch: 7, Port: wire.AllLinks, N: src.seq}, payload)
		}
		st.o.frame(src.p, frame.Frame())
		st.o.endTurn()
		for _, f := range src.p.box.take(nil) {
			src.p.pool.put(f)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if live := st.o.t.hops.live; live < messages {
		t.Fatalf("%d hops in flight, want %d", live, messages)
	}
	each := float64(after.HeapAlloc-before.HeapAlloc)/float64(src.seq) - float64(len(payload))
	t.Logf("%.0f bytes a message beside its payload", each)
	if each > most {
		t.Errorf("%.0f bytes a message beside its payload, want at most %d", each, most)
	}
	runtime.KeepAlive(st)
}
