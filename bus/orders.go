package bus

import "sync"

// orders is what the loop wants of the one goroutine that serves many peers.
type orders struct {
	mu                  sync.Mutex
	flush, finish, drop []*peer
	spare               [3][]*peer
	wake                chan struct{}
}

func (o *orders) add(list *[]*peer, p *peer) {
	o.mu.Lock()
	*list = append(*list, p)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *orders) some() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.flush)+len(o.finish)+len(o.drop) > 0
}

// take returns all orders; the slices are valid until the next take.
func (o *orders) take() (flush, finish, drop []*peer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	flush, finish, drop = o.flush, o.finish, o.drop
	for i := range o.spare {
		clear(o.spare[i][:cap(o.spare[i])])
	}
	o.flush, o.finish, o.drop = o.spare[0][:0], o.spare[1][:0], o.spare[2][:0]
	o.spare = [3][]*peer{flush, finish, drop}
	return flush, finish, drop
}
