package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
)

// steadyAge is how long what has no way to say that it is ready has to live before a start in the background calls it up: most programs that
// cannot run at all have told so by then.
const steadyAge = 200 * time.Millisecond

// unsteady waits until the youngest of those is so old, and tells which have not lived so long.
func (d *daemon) unsteady() (words []string) {
	var youngest time.Time
	d.blind(func(i *supervisor.InstanceStatus) {
		if i.Started.After(youngest) {
			youngest = i.Started
		}
	})
	if wait := steadyAge - time.Since(youngest); !youngest.IsZero() && wait > 0 {
		time.Sleep(wait)
	}
	d.blind(func(i *supervisor.InstanceStatus) {
		if i.Restarts > 0 && i.Recycles == 0 || i.State == supervisor.Backoff || i.State == supervisor.Fatal {
			words = append(words, fmt.Sprintf("%s: %s", i.Ref, i.LastExit))
		}
	})
	return words
}

// blind looks at every instance that shall be up and counts as ready once it was spawned.
func (d *daemon) blind(look func(*supervisor.InstanceStatus)) {
	t := d.sup.Topology()
	for _, s := range d.sup.Snapshot() {
		if sat := t.Satellite(s.Name); sat == nil || sat.Ready.Kind != topology.ReadySpawned {
			continue
		}
		for n := range s.Instances {
			if i := &s.Instances[n]; i.Want == supervisor.Up {
				look(i)
			}
		}
	}
}

// steadyWord is what a start in the background is told of a topology that is up.
func steadyWord(unsteady []string) string {
	if len(unsteady) == 0 {
		return upWord
	}
	const most = 3
	more := ""
	if n := len(unsteady) - most; n > 0 {
		more, unsteady = fmt.Sprintf("; and %d more", n), unsteady[:most]
	}
	return shakyWord + strings.ReplaceAll(strings.Join(unsteady, "; ")+more, "\n", " ")
}

// The words of a daemon to the dsatd that started it in the background.
const (
	upWord    = "ready"
	shakyWord = "shaky: "
)
