package topology

import "fmt"

// Spill bounds what a queue with full = "spill" has on disk beside what it has in memory.
type Spill struct {
	MaxBytes    int64 // of its messages, on disk
	MaxMessages int
}

func spillKey() *key {
	return &key{name: "spill", kind: tableKind{}, short: "max", aka: []string{"overflow_to", "spool", "paging"}, doc: "How much of it may be on disk with full = \"spill\", beside what max and max_messages let it have in memory. Beyond that it blocks. " +
		"The journal's files take more: up to twice what is in it, and two segments.", keys: []*key{
		{name: "max", kind: sizeKind{}, def: `"1GiB"`, min: 1, max: 1 << 50, doc: "Bytes on disk.", aka: []string{"max_bytes", "size"},
			field: sat(func(s *Satellite) any { return &s.Queue.Spill.MaxBytes })},
		{name: "max_messages", kind: wholeKind{}, def: "1000000", min: 1, max: 1_000_000_000, doc: "Messages on disk. What is on disk is their payload; each still takes about 200 bytes of memory, so that a million of them take 200 MB.", aka: []string{"length"},
			field: sat(func(s *Satellite) any { return &s.Queue.Spill.MaxMessages })},
	}}
}

// spills notes where what is said of spilling does less than it seems.
func (r *rules) spills() {
	for _, s := range r.t.Satellites {
		asked := s.Queue.Spill != Spill{MaxBytes: 1 << 30, MaxMessages: 1_000_000}
		switch {
		case whenFed(s) != "":
		case s.Queue.Full == FullSpill && s.Queue.Delivery == DeliveryDirect:
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s: full = \"spill\" is about what goes through dsatd: what comes to it directly, from satellite to satellite, passes no disk", s.Name))
		case s.Queue.Full != FullSpill && asked:
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s: queue.spill means nothing with full = %q: nothing of the queue is spilled; say full = \"spill\" beside it", s.Name, s.Queue.Full))
		}
	}
}
