package bus

// fifo is a queue of hops, linked through their slots.
type fifo struct {
	head, tail int32
	count      int
	bytes      int64
}

func newFIFO() fifo { return fifo{head: none, tail: none} }

// size is what a hop counts for in the byte limit of its queue: a message without payload takes room too.
func size(h *hop) int64 { return int64(h.body.size()) + 64 }

func (q *fifo) pushBack(s *slab, i int32) {
	h := s.at(i)
	h.next = none
	if q.tail == none {
		q.head = i
	} else {
		s.at(q.tail).next = i
	}
	q.tail = i
	q.count++
	q.bytes += size(h)
}

func (q *fifo) pushFront(s *slab, i int32) {
	h := s.at(i)
	h.next = q.head
	q.head = i
	if q.tail == none {
		q.tail = i
	}
	q.count++
	q.bytes += size(h)
}

func (q *fifo) popFront(s *slab) int32 {
	i := q.head
	h := s.at(i)
	q.head = h.next
	if q.head == none {
		q.tail = none
	}
	h.next = none
	q.count--
	q.bytes -= size(h)
	return i
}

// heap orders held hops by the time of their retry.
type heap []retry

type retry struct {
	due  int64
	slot int32
}

func (h *heap) push(due int64, slot int32) {
	*h = append(*h, retry{due, slot})
	a := *h
	for i := len(a) - 1; i > 0; {
		up := (i - 1) / 2
		if a[up].due <= a[i].due {
			break
		}
		a[up], a[i] = a[i], a[up]
		i = up
	}
}

func (h *heap) pop() int32 {
	a := *h
	top := a[0].slot
	n := len(a) - 1
	a[0] = a[n]
	a = a[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && a[c+1].due < a[c].due {
			c++
		}
		if a[i].due <= a[c].due {
			break
		}
		a[i], a[c] = a[c], a[i]
		i = c
	}
	*h = a
	return top
}
