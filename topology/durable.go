package topology

import "fmt"

// Journal is where durable queues are kept, and what others spill.
type Journal struct {
	Segment int64 // bytes of one file
	Limit   int64 // bytes of records; 0: the disk's
}

func journalKeys() *key {
	return &key{name: "journal", kind: tableKind{}, doc: "The files in the state directory where durable queues are kept, and what others spill. A change takes effect when dsatd is started.", aka: []string{"wal", "store"}, keys: []*key{
		{name: "segment", kind: sizeKind{}, def: `"64MiB"`, min: 64 << 10, max: 1 << 32, doc: "Bytes of one file. Two of them are the least that is taken on disk.", aka: []string{"segment_size", "file_size"},
			field: top(func(t *Topology) any { return &t.Daemon.Journal.Segment })},
		{name: "limit", kind: sizeKind{}, def: `"0B"`, max: 1 << 50, doc: "Bytes of records above which durable queues take nothing new, and those who fill them wait; 0B: what the disk has.", aka: []string{"max", "max_size", "quota"},
			field: top(func(t *Topology) any { return &t.Daemon.Journal.Limit })},
	}}
}

// borders notes where what a durable queue puts out enters a weaker one: its promise ends there. Where it is not a durable queue, but some
// links lead to one and others do not, what was accepted is kept for the ones only: each queue promises for itself.
func (r *rules) borders() {
	for _, s := range r.t.Satellites {
		strong, weak := r.ends(s)
		durable := s.Queue.Delivery == DeliveryDurable && whenFed(s) == ""
		for _, to := range weak {
			switch {
			case durable:
				r.t.Notes = append(r.t.Notes, fmt.Sprintf("the durable promise of %s ends at %s, whose queue is %s: what waits there is gone when dsatd is killed; say queue = { delivery = \"durable\" } in %s to keep it",
					s.Name, to.Name, to.Queue.Delivery, to.Name))
			case len(strong) > 0:
				r.t.Notes = append(r.t.Notes, fmt.Sprintf("what %s puts out is kept for %s, and not for %s, whose queue is %s: when dsatd is killed only the first has it still, and no one repeats it; say queue = { delivery = \"durable\" } in %s to keep both",
					s.Name, strong[0].Name, to.Name, to.Queue.Delivery, to.Name))
			}
		}
	}
}

// ends is the satellites that the links of s lead to: those with a durable queue, and the others.
func (r *rules) ends(s *Satellite) (strong, weak []*Satellite) {
	for _, l := range s.To {
		for _, end := range l.Ends() {
			switch to := r.t.Satellite(end); {
			case to == nil:
			case to.Queue.Delivery == DeliveryDurable:
				strong = append(strong, to)
			default:
				weak = append(weak, to)
			}
		}
	}
	return strong, weak
}
