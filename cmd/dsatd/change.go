package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// source is what a topology is made of: files, what was changed at run time, and the flags of the start.
type source struct {
	files []string // absolute
	over  topology.Overlay
	flags startFlags
	name  string // of the running topology, should the files say none; "" at the start
}

// read makes the topology. Every problem is in the error.
func (s source) read() (*topology.Loaded, error) {
	opt := loadOptions()
	opt.Name = s.name
	loaded, err := topology.LoadWith(s.files, s.over, opt)
	if err != nil {
		return nil, err
	}
	if loaded.Topology, err = s.flags.apply(loaded.Topology); err != nil {
		return nil, err
	}
	return loaded, nil
}

// changer changes the topology while dsatd runs, one change at a time. What it holds is replaced after a change has succeeded.
type changer struct {
	d    *daemon
	busy chan struct{} // holds a token while a change is under way

	ctx  context.Context // of all changes: ends when dsatd stops
	halt context.CancelFunc

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
	from   source
	loaded *topology.Loaded
}

func newChanger(d *daemon, from source, loaded *topology.Loaded) *changer {
	c := &changer{d: d, busy: make(chan struct{}, 1), from: from, loaded: loaded}
	c.ctx, c.halt = context.WithCancel(context.Background())
	return c
}

// close ends the change under way, which leaves everything as it is, and lets no other begin.
func (c *changer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.halt()
	c.work.Wait()
}

func (c *changer) present() (source, *topology.Loaded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.from, c.loaded
}

func refusal(kind control.Kind, format string, args ...any) error {
	return &control.Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// edited is the present source with the changes that are asked for.
func (c *changer) edited(what control.ChangeRequest) (source, error) {
	from, loaded := c.present()
	if len(what.Files) > 0 {
		from.files = nil
		for _, f := range what.Files {
			if !filepath.IsAbs(f) {
				return from, refusal(control.KindInvalid, "cannot read %q: want an absolute path, for dsatd has a working directory of its own", f)
			}
			from.files = append(from.files, filepath.Clean(f))
		}
	}
	if what.Forget {
		from.over = topology.Overlay{}
	}
	for i, e := range what.Edits {
		var err error
		if i > 0 && isLinkEdit(e.Op) { // it goes by what those before it have made
			if loaded, err = from.read(); err != nil {
				return from, unreadable(err)
			}
		}
		if from.over, err = edit(from.over, loaded, e); err != nil {
			return from, err
		}
	}
	return from, nil
}

// prepared is a change that was read and compared, and not begun.
type prepared struct {
	from   source
	loaded *topology.Loaded
	plan   *topology.Plan
}

func (c *changer) prepare(what control.ChangeRequest) (*prepared, error) {
	from, err := c.edited(what)
	if err != nil {
		return nil, err
	}
	loaded, err := from.read()
	if err != nil {
		return nil, unreadable(err)
	}
	return &prepared{from, loaded, topology.Diff(c.d.sup.Topology(), loaded.Topology)}, nil
}

func unreadable(err error) error {
	return &control.Error{Kind: control.KindTopology, Message: "cannot take this topology, and nothing was changed:\n" + err.Error()}
}

// Plan tells what a change would do.
func (c *changer) Plan(_ context.Context, what control.ChangeRequest) (*control.Plan, error) {
	p, err := c.prepare(what)
	if err != nil {
		return nil, err
	}
	return c.tell(p, what), nil
}

// Apply carries a change out, and returns when it is done or undone. When ctx ends first, it goes on.
func (c *changer) Apply(ctx context.Context, what control.ChangeRequest) (*control.Applied, error) {
	type end struct {
		applied *control.Applied
		err     error
	}
	ends := make(chan end, 1)
	if err := c.begin(func() {
		applied, err := c.carryOut(what)
		ends <- end{applied, err}
	}); err != nil {
		return nil, err
	}
	select {
	case e := <-ends:
		return e.applied, e.err
	case <-ctx.Done():
		return nil, refusal(control.KindTimeout, "cannot wait longer for the change, which goes on: %v", context.Cause(ctx))
	}
}

// begin runs f unless another change is under way, or dsatd stops.
func (c *changer) begin(f func()) error {
	release, err := c.hold()
	if err != nil {
		return err
	}
	go func() { // close waits for it
		defer release()
		f()
	}()
	return nil
}

// hold keeps changes from beginning until release is called, which must be.
func (c *changer) hold() (release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, refusal(control.KindUnavailable, "cannot change the topology: dsatd is stopping")
	}
	select {
	case c.busy <- struct{}{}:
	default:
		return nil, refusal(control.KindConflict, "cannot change the topology: another change is under way; `dsatctl events -f` shows it")
	}
	c.work.Add(1)
	return func() {
		<-c.busy
		c.work.Done()
	}, nil
}

// settleTime is how long what is ready with its exec alone has to live to count as ready.
const settleTime = time.Second

func (c *changer) carryOut(what control.ChangeRequest) (*control.Applied, error) {
	timeout, err := timeoutOf(what.Timeout)
	if err != nil {
		return nil, err
	}
	p, err := c.prepare(what)
	if err != nil {
		return nil, err
	}
	plan := c.tell(p, what)
	if len(plan.Blocked) > 0 {
		return nil, refusal(control.KindConflict, "cannot change the topology, and nothing was changed: %s", strings.Join(plan.Blocked, "; "))
	}
	discard := map[string]bool{}
	for _, change := range p.plan.Of(topology.Removed) {
		if slices.Contains(what.Discard, "*") || slices.Contains(what.Discard, change.Name) {
			discard[change.Name] = true
		}
	}
	c.note(slog.LevelInfo, "the topology changes: %s", summary(p.plan))
	out := &control.Applied{Plan: *plan, Instances: []control.ChangedInstance{}}
	done, err := c.d.sup.Apply(c.ctx, p.plan, supervisor.ApplyOptions{
		Keep: what.NoRollback, Timeout: timeout, Settle: settleTime, Discard: discard,
		Stage: c.stage, Empty: func(ctx context.Context, name string) error { return c.empty(ctx, name, timeout) },
		Note: func(text string) { c.note(slog.LevelInfo, "%s", text) },
	})
	for _, r := range done.Results {
		i := control.ChangedInstance{Name: r.Ref.Name, WID: r.Ref.WID, State: r.State.String(), PID: r.PID}
		if r.Err != nil {
			i.Error = r.Err.Error()
		}
		out.Instances = append(out.Instances, i)
	}
	if err != nil {
		return nil, c.failed(done, err, what.NoRollback)
	}
	c.mu.Lock()
	c.from, c.loaded = p.from, p.loaded
	c.mu.Unlock()
	c.note(slog.LevelInfo, "the topology is changed")
	if err := saveRuntime(p.loaded.Daemon.RunDir, p.from.over); err != nil {
		out.Plan.Notes = append(out.Plan.Notes, "a dsatd that is killed now would not know what was changed at run time: "+err.Error())
	}
	return out, nil
}

func (c *changer) failed(done supervisor.Applied, err error, kept bool) error {
	how := "everything is as it was before"
	switch {
	case errors.Is(err, supervisor.ErrHalted):
		return refusal(control.KindUnavailable, "the change %v", err)
	case kept && !done.Back:
		how = "what was begun stays as it is"
	}
	c.note(slog.LevelWarn, "the topology is not changed: %v", err)
	return refusal(control.KindFailed, "cannot change the topology: %v; %s", err, how)
}

func timeoutOf(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, refusal(control.KindInvalid, "cannot read the timeout %q: want a duration like 30s", text)
	}
	return d, nil
}

// stage takes the bus along.
func (c *changer) stage(ctx context.Context, next *topology.Topology, moved map[string]string, discard map[string]bool) error {
	return c.d.bus.Apply(ctx, next, bus.ApplyOptions{Moved: moved, Discard: discard})
}

// emptyTime is how long what waits for a satellite that is removed may take to be worked off, and emptyLook how often that is seen to.
const (
	emptyTime = 30 * time.Second
	emptyLook = 20 * time.Millisecond
)

// empty waits until nothing waits for a satellite any more.
func (c *changer) empty(ctx context.Context, name string, within time.Duration) error {
	if within <= 0 {
		within = emptyTime
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	look := time.NewTicker(emptyLook)
	defer look.Stop()
	for {
		waiting, held, inHand, _ := c.d.bus.Waiting(name)
		if waiting+held+inHand == 0 {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%s still has %d messages after %s: name its heir with moved_from, or say --discard %s", name, waiting+held+inHand, within, name)
		}
	}
}

// note tells those who watch.
func (c *changer) note(level slog.Level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.d.hub.Publish(control.Event{Time: time.Now(), Kind: "daemon", Cause: text})
	c.d.log.Log(context.Background(), level, text)
}

// summary is a plan in one line.
func summary(p *topology.Plan) string {
	var parts []string
	for _, v := range []topology.Verdict{topology.Added, topology.Changed, topology.Renamed, topology.Removed} {
		var names []string
		for _, c := range p.Of(v) {
			names = append(names, c.Name)
		}
		if len(names) > 0 {
			parts = append(parts, string(v)+" "+strings.Join(names, ", "))
		}
	}
	if len(p.Daemon) > 0 {
		parts = append(parts, "the daemon's own keys")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

// reload is SIGHUP: the same files again. A manager waits for both of its words, whatever becomes of the change.
func (c *changer) reload() {
	c.d.manager.reloading()
	c.d.log.Info("SIGHUP: the files are applied again")
	err := c.begin(func() {
		if _, err := c.carryOut(control.ChangeRequest{}); err != nil {
			c.d.log.Error("SIGHUP: " + err.Error())
		}
		c.d.manager.ready(c.d.sentence())
	})
	if err != nil {
		c.d.log.Error("SIGHUP: " + err.Error())
		c.d.manager.ready(c.d.sentence())
	}
}
