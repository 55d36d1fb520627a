package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

//go:embed c/child.c
var childC []byte

//go:embed c/floor.c
var floorC []byte

// patience is how long a peer is measured with one number of children: one that is slow has fewer runs than the others.
const patience = 35 * time.Second

const superviseNote = "The child is a static program whose first act is a stamp of CLOCK_MONOTONIC. " +
	"launch: from before the manager's exec to the last child's stamp; respawn: from before kill(2) to the next stamp, of 20 kills one after the other " +
	"(of those that fit into 3 s, where it is slow); mass kill: all killed at once, to the last of as many new stamps, when all had been up for 1.2 s at least; " +
	"stop: from the signal to the end of the manager, of all its processes and of all children. " +
	"Memory, threads, CPU and wake-ups are of all processes of the manager together, the children left out; idle is over 2 s. " +
	"status: a whole process that asks for all children (for s6 one for each, by a loop of sh). " +
	"Rows with \"default\" are with the back-off a manager has by default, the others with the smallest it can have. " +
	"In bold: the best beside the loop."

// supervise measures dsatd and its peers beside a loop in C.
func supervise(ctx context.Context, l *lab) (*report, error) {
	for name, source := range map[string][]byte{"child": childC, "floor": floorC} {
		if err := compile(ctx, l, name, source, "-static"); err != nil {
			return nil, err
		}
	}
	all, err := managersNamed(l.peers)
	if err != nil {
		return nil, err
	}
	r := newReport("Supervision", floorName)
	r.bold = true
	r.notes = append(r.notes, machine()+". "+superviseNote)
	c := &contest{lab: l, report: r}
	for _, m := range all {
		if err := c.admit(ctx, m); err != nil {
			return nil, err
		}
	}
	for _, n := range l.children {
		if err := c.measure(ctx, n); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// contest is all managers on one page.
type contest struct {
	lab    *lab
	report *report
	here   []entrant
}

// entrant is a manager whose programs are there.
type entrant struct {
	manager
	kit kit
}

// admit brings a manager's programs. A peer that cannot be had is told in the report, and is no error.
func (c *contest) admit(ctx context.Context, m manager) error {
	found := entrant{manager: m}
	if m.get != nil {
		limited, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("not had within %v", fetchLimit))
		defer cancel()
		var err error
		if found.kit, err = m.get(&fetch{ctx: limited, cache: c.lab.cache}); err != nil {
			if ctx.Err() != nil {
				return err
			}
			c.report.note("skipped: %s: %v", m.name, errors.Join(err, context.Cause(limited)))
			return nil
		}
	}
	version := found.kit.version
	if version != "" {
		version = " " + version
	}
	c.report.note("%s%s: %s", m.name, version, m.note)
	c.here = append(c.here, found)
	return nil
}

// measure takes all contenders through their runs, in turn.
func (c *contest) measure(ctx context.Context, n int) error {
	c.report.begin(fmt.Sprintf("%d children", n))
	spent := make([]time.Duration, len(c.here))
	last := make([]time.Duration, len(c.here))
	for round := range c.lab.runs {
		for i, m := range c.here {
			if m.peer && round > 0 && spent[i]+last[i] > patience {
				continue
			}
			begin := time.Now()
			err := c.both(ctx, m, n)
			last[i] = time.Since(begin)
			spent[i] += last[i]
			fmt.Fprintf(os.Stderr, "supervise: %s, %d children, run %d: %v\n", m.name, n, round+1, last[i].Round(time.Millisecond))
			switch {
			case err == nil:
			case !m.peer || ctx.Err() != nil:
				return fmt.Errorf("%s with %d children: %w; its last words:\n%s", m.name, n, err, c.lab.lastWords())
			default:
				c.report.note("failed: %s with %d children, in run %d: %v", m.name, n, round+1, err)
				spent[i] = patience // once is enough
			}
		}
	}
	return nil
}

// both is one run: a life with the smallest back-off, and where that is another one, a life with the default.
func (c *contest) both(ctx context.Context, m entrant, n int) error {
	life := func(plain bool) error {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done within %v", limit))
		defer cancel()
		return c.once(ctx, m, n, plain)
	}
	err := life(false)
	if err == nil && m.plain != nil {
		err = life(true)
	}
	return err
}

// once takes a manager through one life, after which nothing of it is left.
func (c *contest) once(ctx context.Context, m entrant, n int, plain bool) (err error) {
	stamps, err := newStamps(c.lab)
	if err != nil {
		return err
	}
	s := stage{lab: c.lab, kit: m.kit, dir: filepath.Join(c.lab.dir, "manager"), n: n, child: []string{stamps.child, stamps.path}}
	if err := errors.Join(os.RemoveAll(s.dir), os.Mkdir(s.dir, 0o700)); err != nil {
		return err
	}
	start := m.start
	if plain {
		start = m.plain
	}
	cmd, err := start(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.lab.sweepMarked(ctx), stamps.sweep()) }()
	t := trial{report: c.report, entrant: m, stage: s, stamps: stamps, plain: plain}
	return t.run(ctx, cmd)
}
