package bus

import (
	"runtime"
	"testing"
	"time"
)

// What carriers and the loop allocate together for a message, in this process; source and worker are processes of their own.
// With some 200 messages of 256 B a frame that is what a frame costs, nearly: some 14 allocations over ZeroMQ, whose binding makes new memory
// for all it is asked for (docs/decisions/010-the-binding-of-libzmq.md), and less than one over a lane.
func TestCarriersAllocateNextToNothingPerMessage(t *testing.T) {
	if raceEnabled {
		t.Skip("counts allocations, of which the race detector has its own")
	}
	const messages, most = 100_000, 0.25
	for name, plugin := range map[string]bool{"plugin": true, "zmq": false} {
		t.Run(name, func(t *testing.T) {
			mk := sat
			if plugin {
				mk = pluginSat
			}
			worker := mk("null")
			worker.Queue.MaxMessages = 2000 // or its growth is what is counted
			s := serve(t, mk("gen", "null"), worker)
			defer s.perform("null", false, plugin, 256)()
			defer s.perform("gen", true, plugin, 256)()
			until := func(done uint64) uint64 {
				for {
					if n := s.Ledger().Done; n >= done {
						return n
					}
					<-time.After(10 * time.Millisecond) // asking allocates
				}
			}
			var before, after runtime.MemStats
			begin := until(messages) // queues and pools have grown
			runtime.ReadMemStats(&before)
			end := until(begin + messages)
			runtime.ReadMemStats(&after)
			if each := float64(after.Mallocs-before.Mallocs) / float64(end-begin); each > most {
				t.Errorf("%.3f allocations a message, want at most %v", each, most)
			} else {
				t.Logf("%.3f allocations a message", each)
			}
		})
	}
}
