package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// trial is one life of a manager with its children.
type trial struct {
	report  *report
	entrant entrant
	stage   stage
	stamps  *stamps
	plain   bool // with the default back-off, which is then all that is measured

	process *process
	all     []stamp // of the living
}

func (t *trial) add(what string, value float64) { t.report.add(what, t.entrant.name, value) }

func (t *trial) run(ctx context.Context, cmd command) (err error) {
	begin := monotonic()
	if t.process, err = t.stage.lab.begin(ctx, cmd); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = t.process.endBy(t.entrant.end) // nothing is to be left of a run that failed half way
		}
	}()
	if t.all, err = t.stamps.wait(ctx, t.stage.n); err != nil {
		return err
	}
	t.all = t.all[:t.stage.n]
	if !t.plain {
		t.add("launch, ms", ms(t.all[t.stage.n-1].at-begin))
	}
	for _, step := range t.steps() {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) steps() []func(context.Context) error {
	if t.plain {
		return []func(context.Context) error{t.rest, t.respawn, t.rest, t.massKill, t.settle, t.stop}
	}
	return []func(context.Context) error{t.settle, t.idle, t.status, t.respawn, t.rest, t.massKill, t.rest, t.settle, t.stop}
}

// rest lets the youngest child be as old as managers with a fixed back-off want it to be.
func (t *trial) rest(ctx context.Context) error { return sleep(ctx, 1200*time.Millisecond) }

// tree is the manager's processes, and those of the children.
func (t *trial) tree() (own, children []proc, err error) {
	return family(t.process.pid(), t.stamps.child)
}

// settle waits until the manager has stopped working: no context switch between two looks.
func (t *trial) settle(ctx context.Context) error {
	own, _, err := t.tree()
	if err != nil {
		return err
	}
	last := -1
	for range 10 {
		now, err := usageOf(own)
		if err != nil || now.switches == last {
			return err
		}
		last = now.switches
		if err := sleep(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return nil // it never rests: that is what idle is to show
}

func (t *trial) idle(ctx context.Context) error {
	own, children, err := t.tree()
	if err != nil {
		return err
	}
	if len(children) != t.stage.n {
		return fmt.Errorf("has %d children", len(children))
	}
	before, err := usageOf(own)
	if err != nil {
		return err
	}
	const span = 2 * time.Second
	if err := sleep(ctx, span); err != nil { // the measurement itself: what happens while nothing happens
		return err
	}
	after, err := usageOf(own)
	if err != nil {
		return err
	}
	t.add("idle CPU, %", 100*float64(after.cpu-before.cpu)/float64(span))
	t.add("idle wake-ups, 1/s", float64(after.switches-before.switches)/span.Seconds())
	pss, err := pssMiB(own)
	if err != nil {
		return err
	}
	t.add("memory (PSS), MiB", pss)
	t.add("processes", float64(len(own)))
	t.add("threads", float64(after.threads))
	return nil
}

// often calls f up to so many times, or as often as fits into 3 s, and keeps the median of what it says, in ms.
func (t *trial) often(row []string, times int, f func(i int) (int64, error)) error {
	var took []float64
	for begin := time.Now(); len(took) < times && time.Since(begin) < 3*time.Second; {
		ns, err := f(len(took))
		if err != nil {
			return err
		}
		took = append(took, ms(ns))
	}
	for _, what := range row {
		t.add(what, median(took))
	}
	return nil
}

func (t *trial) status(ctx context.Context) error {
	if t.entrant.status == nil {
		return nil
	}
	return t.often([]string{"status of all, ms"}, 5, func(int) (int64, error) {
		begin := monotonic()
		out, err := t.entrant.status(t.stage).prepare(ctx).Output()
		took := monotonic() - begin
		if err != nil {
			return 0, fmt.Errorf("status: %w: %s", err, lastLine(string(out)))
		}
		if up := t.entrant.up(string(out)); up != t.stage.n {
			return 0, fmt.Errorf("status says that %d children are up", up)
		}
		return took, nil
	})
}

// rows are where a figure goes that depends on the back-off: a manager with one only has it in both.
func (t *trial) rows(what string) []string {
	byDefault := what + ", default, ms"
	switch {
	case t.plain:
		return []string{byDefault}
	case t.entrant.plain != nil:
		return []string{what + ", ms"}
	}
	return []string{what + ", ms", byDefault}
}

// respawn kills children one after the other.
func (t *trial) respawn(ctx context.Context) error {
	count := t.stage.n
	victims := min(20, t.stage.n)
	return t.often(t.rows("respawn after kill -9"), victims, func(i int) (int64, error) {
		victim := i * t.stage.n / victims
		begin := monotonic()
		if err := syscall.Kill(t.all[victim].pid, syscall.SIGKILL); err != nil {
			return 0, err
		}
		count++
		now, err := t.stamps.wait(ctx, count)
		if err != nil {
			return 0, err
		}
		t.all[victim] = now[count-1]
		return now[count-1].at - begin, nil
	})
}

// massKill kills all children at once.
func (t *trial) massKill(ctx context.Context) error {
	now, err := t.stamps.wait(ctx, 0)
	if err != nil {
		return err
	}
	count := len(now) + t.stage.n
	begin := monotonic()
	for _, s := range t.all {
		if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	if now, err = t.stamps.wait(ctx, count); err != nil {
		return err
	}
	for _, row := range t.rows("all killed, to all back") {
		t.add(row, ms(now[count-1].at-begin))
	}
	return nil
}

// stop ends the manager, and waits until nothing of it is left.
func (t *trial) stop(ctx context.Context) error {
	own, children, err := t.tree()
	if err != nil {
		return err
	}
	begin := monotonic()
	err = t.process.endBy(t.entrant.end)
	if t.entrant.peer && ctx.Err() == nil {
		err = nil // each has its own idea of an exit code
	}
	for _, p := range append(own, children...) {
		err = errors.Join(err, p.wait(ctx))
	}
	if err == nil && !t.plain {
		t.add("stop, ms", ms(monotonic()-begin))
	}
	return err
}
