package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dsat/dsat/topology"
)

// firmly posts an event and waits until the instance is up at the first attempt. One that somebody stops meanwhile is left to that.
func (a *applying) firmly(ctx context.Context, i *instance, e event, within time.Duration) error {
	waiting, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	e.wait = &waiter{goal: goalFirm, reply: make(chan Result, 1)}
	i.post(e)
	r := a.s.await(waiting, i, e.wait.reply)
	a.tell(r)
	switch {
	case r.State == Stopped && i.status.Load().Want == Down:
		return nil
	case r.Err != nil && waiting.Err() != nil:
		return fmt.Errorf("%s did not become ready within %s: %s", i.ref, within, i.status.Load().Why)
	case r.Err != nil:
		return fmt.Errorf("%s did not become ready: %w", i.ref, r.Err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.firm[i] = i.status.Load().Restarts
	return nil
}

// settle lets what counts as ready from its exec on live for a moment: most mistakes show within it.
func (a *applying) settle(ctx context.Context) error {
	young := false
	for i := range a.firm {
		young = young || a.wide.byName[i.ref.Name].spec.Ready.Kind == topology.ReadySpawned
	}
	if !young || a.opt.Settle <= 0 {
		return nil
	}
	over := time.NewTimer(a.opt.Settle)
	defer over.Stop()
	look := time.NewTicker(settleLook)
	defer look.Stop()
	for waiting := true; waiting; {
		select {
		case <-over.C:
			waiting = false
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if failed := a.fallen(); len(failed) > 0 {
			return errors.New(strings.Join(failed, "; "))
		}
	}
	return nil
}

// settleLook is how often those that settle are looked at, so that one which falls at once is not waited for.
const settleLook = 20 * time.Millisecond

// fallen names those that did not live on.
func (a *applying) fallen() (failed []string) {
	for i, restarts := range a.firm {
		st := i.status.Load()
		switch {
		case st.Want == Down && (st.State == Stopped || st.State == Stopping), st.Restarts == restarts && st.State == Running, st.State == Exited && st.Success:
		default:
			failed = append(failed, fmt.Sprintf("%s did not live for %s: %s", i.ref, a.opt.Settle, st.LastExit))
		}
	}
	slices.Sort(failed)
	return failed
}
