package main

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/bus"
)

func TestHooksOfTasksAreNoStormOfProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = 500
		running, most, over := 0, 0, 0
		var mu sync.Mutex
		var begun []time.Time
		h := &taskHooks{}
		h.run = func(_ bus.TaskEnd, done func()) {
			mu.Lock()
			defer mu.Unlock()
			running++
			most = max(most, running)
			begun = append(begun, time.Now())
			time.AfterFunc(time.Millisecond, func() {
				mu.Lock()
				running--
				over++
				mu.Unlock()
				done()
			})
		}
		for n := range all {
			h.add(bus.TaskEnd{Hops: n}, func() {})
		}
		synctest.Wait()
		mu.Lock()
		if running != taskHooksAtOnce {
			t.Errorf("%d run at once", running)
		}
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		if over != all || most != taskHooksAtOnce || running != 0 || len(h.waiting) > 0 {
			t.Errorf("%d of %d are over, %d at once", over, all, most)
		}
		for n, at := range begun {
			if k := n - taskHooksBurst - taskHooksAtOnce; k > 0 && at.Sub(begun[0]) < time.Duration(k)*taskHooksEach {
				t.Fatalf("%d began within %v", n, at.Sub(begun[0]))
			}
		}
		mu.Unlock()
		later := time.Now()
		h.add(bus.TaskEnd{}, func() {})
		if got := begun[len(begun)-1]; got != later {
			t.Errorf("a lone one waited for %v", got.Sub(later))
		}
		time.Sleep(time.Second)
	})
}
