package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// probe watches for readiness until it comes, the deadline passes, or it is cancelled. HELLO and log lines come by themselves, so
// only the deadline is watched for them. Nothing of it lives on once the instance is ready.
func (s *Supervisor) probe(l *life) (cancel func()) {
	r := s.readyOf(l.spec, l.of.ref.WID)
	deadline, stop := s.readyDeadline(l, r)
	if l.unsure {
		t := time.AfterFunc(graceOf(r), func() { s.presume(l) })
		return func() { stop(); t.Stop() }
	}
	switch r.Kind {
	case topology.ReadyDelay:
		t := time.AfterFunc(r.Delay, func() { l.of.post(event{kind: evReady, life: l}) })
		return func() { stop(); t.Stop() }
	case topology.ReadyTCP, topology.ReadyGet, topology.ReadyUnix, topology.ReadyPath, topology.ReadyExec:
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
		err := s.attempt(ctx, l, r, max(every, time.Second))
		if err == nil && suspect {
			err = stranger(foreign(r, l.of.ref.WID, l.mainPID()))
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

func (s *Supervisor) attempt(ctx context.Context, l *life, r topology.Ready, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	switch r.Kind {
	case topology.ReadyTCP:
		return accepts(ctx, "tcp", r.TCP)
	case topology.ReadyUnix:
		return accepts(ctx, "unix", r.Unix)
	case topology.ReadyPath:
		if _, err := os.Stat(r.Path); err != nil {
			return fmt.Errorf("there is no %s: %w", r.Path, cause(err))
		}
		return nil
	case topology.ReadyExec:
		return s.tried(ctx, l, within)
	}
	var body *regexp.Regexp
	if r.HTTP.Body != "" {
		body = regexp.MustCompile(r.HTTP.Body) // checked when the topology was read
	}
	return responds(ctx, r.Get, r.HTTP.Status, body)
}

// tried runs the program that says whether it is ready.
func (s *Supervisor) tried(ctx context.Context, l *life, within time.Duration) error {
	answer := make(chan outcome, 1)
	e := s.errand(chore{ref: l.of.ref, spec: l.spec, argv: l.spec.Ready.Exec, env: ofLife(l), within: within, done: func(o outcome) { answer <- o }})
	var o outcome
	select {
	case o = <-answer:
	case <-ctx.Done():
		e.end(fmt.Sprintf("did not end within %s", within))
		o = <-answer // it is killed, so it comes
	}
	switch {
	case o.why == "":
		return nil
	case len(o.words) > 0:
		return fmt.Errorf("%s: %s (its last line: %s)", l.spec.Ready.Exec[0], o.why, tidy(o.words[len(o.words)-1]))
	}
	return fmt.Errorf("%s: %s", l.spec.Ready.Exec[0], o.why)
}

// unseen: readiness that the next daemon could not see again.
func unseen(kind topology.ReadyKind) bool {
	switch kind {
	case topology.ReadyLog, topology.ReadyDelay, topology.ReadyNotify, topology.ReadyFD:
		return true
	}
	return false
}

// plumbReady gives a process the descriptor that it writes a line to when it is ready. Its end can be read too, so that the line is
// written though dsatd may be dead just then.
func (s *Supervisor) plumbReady(l *life, p *plan, pl *plumbing) error {
	at := l.spec.Ready.FD - firstHanded
	if l.spec.Ready.Kind != topology.ReadyFD {
		return nil
	}
	if at < len(p.handed) {
		return fmt.Errorf("cannot give descriptor %d to %s: those up to %d are sockets and what it has stored: choose a higher ready.fd", l.spec.Ready.FD, l.of.ref, firstHanded+len(p.handed)-1)
	}
	ours, theirs, err := s.outPipe()
	if err != nil {
		return fmt.Errorf("cannot open the pipes of %s: %w", l.of.ref, err)
	}
	pl.captures = append(pl.captures, s.readiness(l, ours))
	for len(p.handed) < at {
		p.handed = append(p.handed, ^uintptr(0)) // closed
	}
	p.handed = append(p.handed, pl.lend(theirs))
	return nil
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
