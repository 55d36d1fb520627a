package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// probe watches for readiness until it comes, the deadline passes, or it is cancelled. HELLO and log lines come by themselves, so
// only the deadline is watched for them. Nothing of it lives on once the instance is ready.
func (s *Supervisor) probe(l *life) (cancel func()) {
	r := s.readyOf(l.spec, l.of.ref.WID)
	deadline, stop := s.readyDeadline(l, r)
	switch r.Kind {
	case topology.ReadyDelay:
		t := time.AfterFunc(r.Delay, func() { l.of.post(event{kind: evReady, life: l}) })
		return func() { stop(); t.Stop() }
	case topology.ReadyTCP, topology.ReadyGet:
		ctx, end := context.WithCancel(context.Background())
		s.crew.run(func() { s.attempts(ctx, l, r, deadline) })
		return func() { stop(); end() }
	}
	return stop
}

// lastProbe is the words of the newest failed attempt.
type lastProbe struct {
	mu   sync.Mutex
	text string
}

func (p *lastProbe) set(text string) {
	p.mu.Lock()
	p.text = text
	p.mu.Unlock()
}

func (p *lastProbe) get() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text
}

func (s *Supervisor) readyDeadline(l *life, r topology.Ready) (*lastProbe, func()) {
	last := &lastProbe{text: awaits(r)}
	if r.Deadline <= 0 {
		return last, func() {}
	}
	t := time.AfterFunc(r.Deadline, func() {
		l.of.post(event{kind: evUnready, life: l, cause: fmt.Sprintf("not ready within %s: %s", r.Deadline, last.get())})
	})
	return last, func() { t.Stop() }
}

// attempts probes at once and then at intervals.
func (s *Supervisor) attempts(ctx context.Context, l *life, r topology.Ready, last *lastProbe) {
	every := r.Every
	if every <= 0 {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	suspect := true // the first look comes before a server can be up, unless it is quick
	for {
		err := attempt(ctx, r, l.of.ref.WID, max(every, time.Second))
		if err == nil && suspect {
			err = stranger(foreign(r, l.of.ref.WID, l.pid))
		} else {
			suspect = false
		}
		if err == nil {
			l.of.post(event{kind: evReady, life: l})
			return
		}
		if ctx.Err() != nil {
			return
		}
		last.set(err.Error())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		case <-s.stopped:
			return
		}
	}
}

func stranger(who string) error {
	if who == "" {
		return nil
	}
	return errors.New(who)
}

func attempt(ctx context.Context, r topology.Ready, wid int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	here := func(v string) string { return strings.ReplaceAll(v, "${instance}", strconv.Itoa(wid)) }
	if r.Kind == topology.ReadyTCP {
		return accepts(ctx, "tcp", here(r.TCP))
	}
	return responds(ctx, here(r.Get), nil, nil)
}

// inner is the innermost error: "connection refused" instead of four layers around it.
func inner(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
