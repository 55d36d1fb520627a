package supervisor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// examination is one check of one life, from ready to the end. Between two looks it is a timer and nothing else.
type examination struct {
	s     *Supervisor
	of    *life
	check *topology.Check
	body  *regexp.Regexp // of a get; nil: any
	ctx   context.Context

	mu    sync.Mutex
	timer *time.Timer
	tally tally
}

// examine begins the checks of a running instance. They answer with evSick and evWell until they are cancelled.
func (s *Supervisor) examine(l *life) (cancel func()) {
	ctx, end := context.WithCancel(context.Background())
	var all []*examination
	for _, c := range l.of.spec.Health {
		x := newExamination(s, l, c, ctx)
		all = append(all, x)
		x.next(c.Delay)
	}
	return func() {
		end()
		for _, x := range all {
			x.mu.Lock()
			x.timer.Stop()
			x.mu.Unlock()
		}
	}
}

func newExamination(s *Supervisor, l *life, c *topology.Check, ctx context.Context) *examination {
	x := &examination{s: s, of: l, check: c, ctx: ctx}
	if c.Body != "" {
		x.body = regexp.MustCompile(c.Body) // the topology has compiled it already
	}
	return x
}

func (x *examination) next(wait time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ctx.Err() == nil {
		x.timer = time.AfterFunc(wait, func() { x.s.crew.run(x.look) })
	} else if x.timer == nil {
		x.timer = time.NewTimer(0)
	}
}

// look looks once, tells what has changed, and sets the timer for the next time.
func (x *examination) look() {
	ctx, cancel := context.WithTimeout(x.ctx, x.check.Deadline)
	err := x.try(ctx)
	cancel()
	if x.ctx.Err() != nil {
		return
	}
	switch x.tally.add(x.check, err != nil) {
	case lookSick:
		x.of.of.post(event{kind: evSick, life: x.of, check: x.check, cause: err.Error()})
	case lookWell:
		x.of.of.post(event{kind: evWell, life: x.of, check: x.check})
	}
	const spread = 0.1 // so that a thousand checks do not look at the same time for ever
	x.next(time.Duration(float64(x.check.Every) * (1 + spread*(2*x.s.roll()-1))))
}

func (x *examination) try(ctx context.Context) error {
	c, here := x.check, x.s.here(x.of.spec, x.of.of.ref.WID)
	switch c.Kind {
	case topology.CheckExec:
		return x.exec(ctx)
	case topology.CheckGet:
		return responds(ctx, here.Replace(c.Get), c.Status, x.body)
	case topology.CheckTCP:
		return accepts(ctx, "tcp", here.Replace(c.TCP))
	case topology.CheckGRPC:
		addr, service := topology.SplitService(here.Replace(c.GRPC))
		return serves(ctx, addr, service)
	case topology.CheckBus, topology.CheckProgress:
		if x.s.bus == nil {
			return errors.New("there is no bus")
		}
		if c.Kind == topology.CheckBus {
			return x.ping(ctx)
		}
		inHand, oldest, since := x.s.bus.Progress(x.of.of.ref)
		return stuck(inHand, oldest, since, c.Progress)
	}
	return fmt.Errorf("nobody knows how to look by %s", c.Kind)
}

// exec runs the command. Its last line is the reason.
func (x *examination) exec(ctx context.Context) error {
	got := make(chan outcome, 1)
	e := x.s.errand(chore{
		ref: x.of.of.ref, spec: x.of.of.spec, argv: x.check.Exec, env: ofLife(x.of), within: x.check.Deadline,
		done: func(o outcome) { got <- o },
	})
	stop := context.AfterFunc(x.ctx, func() { e.end("is not asked any more") })
	defer stop()
	o := <-got
	switch {
	case o.why == "":
		return nil
	case len(o.words) > 0:
		return fmt.Errorf("%s: %s", o.why, o.words[len(o.words)-1])
	}
	return errors.New(o.why)
}

func (x *examination) ping(ctx context.Context) error {
	err := x.s.bus.Ping(ctx, x.of.of.ref, x.of.inc)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("did not answer a PING within %s", x.check.Deadline)
	}
	return err
}

// stuck judges progress: work in hand, and none of it done for longer than that. Who has nothing to do is not stuck.
func stuck(inHand int, oldest, since, limit time.Duration) error {
	if inHand == 0 || min(oldest, since) < limit {
		return nil
	}
	return fmt.Errorf("has %d in hand, the oldest for %s, and has answered none for %s", inHand, round(oldest), round(since))
}
