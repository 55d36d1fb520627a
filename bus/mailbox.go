package bus

import (
	"sync"
	"sync/atomic"

	"github.com/dsat/dsat/topology"
)

// mailbox is what others want of the loop: unbounded, so that nobody waits.
type mailbox struct {
	mu   sync.Mutex
	list []func(*orchester)
	some atomic.Bool
	wake chan struct{}
}

func (m *mailbox) post(f func(*orchester)) {
	m.mu.Lock()
	m.list = append(m.list, f)
	m.some.Store(true)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() []func(*orchester) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.list
	m.list = nil
	m.some.Store(false)
	return l
}

// notifier calls the functions of Config in order, outside of the loop.
type notifier struct {
	mu   sync.Mutex
	list []func()
	wake chan struct{}
}

func (n *notifier) post(f func()) {
	n.mu.Lock()
	n.list = append(n.list, f)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) run(done <-chan struct{}) {
	for {
		select {
		case <-n.wake:
		case <-done:
			return
		}
		n.mu.Lock()
		l := n.list
		n.list = nil
		n.mu.Unlock()
		for _, f := range l {
			f()
		}
	}
}

func (o *orchester) tellHello(i *instance) {
	if f := o.bus.cfg.Hello; f != nil {
		ref, inc := i.ref, i.inc
		o.bus.notes.post(func() { f(ref, inc) })
	}
}

func (o *orchester) tellFault(ref topology.Ref, inc topology.Incarnation, why string) {
	o.tellEvent(ref.Name, ref, inc, why)
	if f := o.bus.cfg.Fault; f != nil {
		o.bus.notes.post(func() { f(ref, inc, why) })
	}
}

func (o *orchester) tellEvent(step string, ref topology.Ref, inc topology.Incarnation, text string) {
	f := o.bus.cfg.Event
	if f == nil {
		o.bus.cfg.Log.Info(text, "step", step, "instance", ref.String(), "incarnation", inc.String())
		return
	}
	e := Event{Time: o.wall(), Step: step, Ref: ref, Inc: inc, Text: text}
	o.bus.notes.post(func() { f(e) })
}
