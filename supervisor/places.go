package supervisor

import (
	"fmt"
	"slices"
)

// places bounds how many instances are starting at once. Who gets one keeps it from the gate until it is ready, has failed, or is not
// wanted any more; who is held up by what it needs has none, so that nobody waits for one that waits. They are given in turn. It is
// guarded by the order.
type places struct {
	most  int // 0: no limit
	held  map[*instance]struct{}
	queue []*instance
}

// take reports whether an instance has a place now; if not it is called when there is one.
func (p *places) take(i *instance) (why string) {
	if p.most <= 0 {
		return ""
	}
	if _, has := p.held[i]; has {
		return ""
	}
	at := slices.Index(p.queue, i)
	if len(p.held) < p.most && (at == 0 || len(p.queue) == 0) {
		if at == 0 {
			p.queue = p.queue[1:]
		}
		p.hold(i)
		return ""
	}
	if at < 0 {
		p.queue = append(p.queue, i)
	}
	return fmt.Sprintf("waits for its turn: %d are starting, as many as daemon.start_concurrency allows", p.most)
}

func (p *places) hold(i *instance) {
	if p.held == nil {
		p.held = make(map[*instance]struct{})
	}
	p.held[i] = struct{}{}
}

// leave gives up what an instance has, or its turn, and returns those who have a place now and shall ask again.
func (p *places) leave(i *instance) (called []*instance) {
	if p.most <= 0 {
		return nil
	}
	delete(p.held, i)
	if at := slices.Index(p.queue, i); at >= 0 {
		p.queue = slices.Delete(p.queue, at, at+1)
	}
	return p.call()
}

func (p *places) call() (called []*instance) {
	for len(p.queue) > 0 && len(p.held) < p.most {
		next := p.queue[0]
		p.queue = p.queue[1:]
		p.hold(next)
		called = append(called, next)
	}
	return called
}

// resize is another limit. Who has a place keeps it; those it returns shall ask again.
func (p *places) resize(most int) (called []*instance) {
	p.most = most
	if most > 0 {
		return p.call()
	}
	called, p.queue, p.held = p.queue, nil, nil
	return called
}
