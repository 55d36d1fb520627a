package main

import (
	"strconv"
	"sync"
	"time"

	"github.com/dsat/dsat/bus"
)

// The commands that follow the ends of tasks: so many run at a time, and so many begin in a second, after a burst. A storm of failures
// is a queue here, whose length the bus bounds, and no storm of processes.
const (
	taskHooksAtOnce = 4
	taskHooksEach   = time.Second / 50
	taskHooksBurst  = 50
)

// taskHooks begins them in the order in which the tasks have ended.
type taskHooks struct {
	run func(e bus.TaskEnd, done func()) // begins one; must not block

	mu      sync.Mutex
	waiting []func()
	running int
	free    time.Time // when the next one may begin, but for the burst
	timer   *time.Timer
}

// add takes the end of a task; done is called when its command is over.
func (t *taskHooks) add(e bus.TaskEnd, done func()) {
	t.mu.Lock()
	t.waiting = append(t.waiting, func() {
		t.run(e, func() {
			done()
			t.over()
		})
	})
	t.mu.Unlock()
	t.begin()
}

func (t *taskHooks) over() {
	t.mu.Lock()
	t.running--
	t.mu.Unlock()
	t.begin()
}

// begin begins what may begin now.
func (t *taskHooks) begin() {
	for {
		next := t.next(time.Now())
		if next == nil {
			return
		}
		next()
	}
}

// next takes the next one, if it may begin.
func (t *taskHooks) next(now time.Time) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 || t.running == taskHooksAtOnce {
		return nil
	}
	if early := now.Add(-taskHooksBurst * taskHooksEach); t.free.Before(early) {
		t.free = early
	}
	if wait := t.free.Sub(now); wait > 0 {
		if t.timer == nil {
			t.timer = time.AfterFunc(wait, func() {
				t.mu.Lock()
				t.timer = nil
				t.mu.Unlock()
				t.begin()
			})
		}
		return nil
	}
	t.free = t.free.Add(taskHooksEach)
	t.running++
	f := t.waiting[0]
	t.waiting[0] = nil
	t.waiting = t.waiting[1:]
	return f
}

// taskHook begins the command for the end of a task. Why it failed is in the log.
func (d *daemon) taskHook(e bus.TaskEnd, done func()) {
	env := []string{"DSAT_HOOK=on_" + e.State, "DSAT_TASK=" + e.Task, "DSAT_STATE=" + e.State, "DSAT_REASON=" + e.Reason, "DSAT_STEP=" + e.Step,
		"DSAT_HOPS=" + strconv.Itoa(e.Hops), "DSAT_FAILED=" + strconv.Itoa(e.Failed)}
	d.sup.TaskHook(e.Step, &e.Hook.Hook, env, func(string) { done() })
}
