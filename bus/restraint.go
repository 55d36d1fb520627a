package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// restraintName is the file of the run directory that says which queues are paused and drained, for the next dsatd, should this one be
// killed. After one that ended as asked it is not there.
const restraintName = "restraints.json"

// restraints is what the file says.
type restraints struct {
	Paused  []string `json:"paused"`
	Drained []string `json:"drained"`
}

// restraintFile lets writes come in the order of the changes.
type restraintFile struct{ mu sync.Mutex }

// restrain makes a change in the loop and writes down how it is then, before anybody is told that it is done.
func (b *Bus) restrain(ctx context.Context, verb, name string, do func(*orchester, *step)) error {
	b.restraint.mu.Lock()
	defer b.restraint.mu.Unlock()
	var now restraints
	err := b.withStep(ctx, verb, name, func(o *orchester, s *step) {
		do(o, s)
		now = o.t.restraints()
	})
	if err != nil {
		return err
	}
	if err := b.writeRestraints(now); err != nil {
		return &Error{KindUnavailable, fmt.Sprintf("%s of the queue of %s is done, but not written down, so that a dsatd that is killed forgets it: %v", verb, name, err)}
	}
	return nil
}

// renameRestraints writes down how it is after a change of the topology.
func (b *Bus) renameRestraints(ctx context.Context) {
	b.restraint.mu.Lock()
	defer b.restraint.mu.Unlock()
	now, err := ask(ctx, b, func(o *orchester) (restraints, error) { return o.t.restraints(), nil })
	if err == nil {
		err = b.writeRestraints(now)
	}
	if err != nil {
		b.cfg.Log.Warn("cannot write down which queues are paused", "error", err)
	}
}

func (t *tracker) restraints() (r restraints) {
	for _, s := range t.steps {
		if s.paused {
			r.Paused = append(r.Paused, s.name)
		}
		if s.shut {
			r.Drained = append(r.Drained, s.name)
		}
	}
	return r
}

func (b *Bus) restraintPath() string { return filepath.Join(b.cfg.RunDir, restraintName) }

func (b *Bus) writeRestraints(r restraints) error {
	if len(r.Paused)+len(r.Drained) == 0 {
		return b.forgetRestraints()
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	next := b.restraintPath() + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, b.restraintPath())
}

func (b *Bus) forgetRestraints() error {
	if err := os.Remove(b.restraintPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readRestraints takes over what was paused and drained under a dsatd that was killed. A file that cannot be read restrains nothing, and is
// told of.
func (b *Bus) readRestraints() {
	text, err := os.ReadFile(b.restraintPath())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var r restraints
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		b.cfg.Log.Warn("cannot tell which queues were paused before; none is now", "error", err)
		return
	}
	for _, s := range b.loop.t.steps {
		s.paused = s.paused || slices.Contains(r.Paused, s.name)
		s.shut = s.shut || slices.Contains(r.Drained, s.name)
	}
	regate(b.loop.t.steps)
}
