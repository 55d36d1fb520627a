package bus

// hand is what one worker holds: a ring of dispatches in order of their numbers. An answer in the middle leaves a hole.
type hand struct {
	ring  []dispatch // length is a power of two
	first int        // position of the oldest entry; positions count up for ever
	end   int
	live  int
}

// dispatch is one hop in hand.
type dispatch struct {
	n     uint64
	slot  int32 // none: answered
	sent  int64 // when DATA was written, ns
	since int64 // when it became one of the first c, ns; 0: prefetched
	beat  int64 // likewise, or when it said PROGRESS last
	cost  int
}

func (r *hand) at(pos int) *dispatch { return &r.ring[pos&(len(r.ring)-1)] }

func (r *hand) push(d dispatch) {
	if r.end-r.first == len(r.ring) {
		r.makeRoom()
	}
	*r.at(r.end) = d
	r.end++
	r.live++
}

// makeRoom closes the holes, or doubles the ring when there are few.
func (r *hand) makeRoom() {
	old := *r
	if r.live*2 > len(r.ring) || len(r.ring) == 0 {
		r.ring = make([]dispatch, max(16, 2*len(r.ring)))
		r.first = 0
	}
	to := r.first
	for pos := old.first; pos < old.end; pos++ {
		if d := *old.at(pos); d.slot != none {
			*r.at(to) = d
			to++
		}
	}
	r.end = to
}

// find returns the position of the first entry numbered n or more.
func (r *hand) find(n uint64) int {
	if r.first == r.end || r.at(r.first).n >= n {
		return r.first
	}
	lo, hi := r.first+1, r.end
	for lo < hi {
		mid := lo + (hi-lo)/2
		if r.at(mid).n < n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// take marks the entry at pos answered; holes in front are passed over.
func (r *hand) take(pos int) {
	r.at(pos).slot = none
	r.live--
	for r.first < r.end && r.at(r.first).slot == none {
		r.first++
	}
}

// holds reports whether n is in hand.
func (r *hand) holds(n uint64) bool {
	pos := r.find(n)
	return pos < r.end && r.at(pos).n == n && r.at(pos).slot != none
}
