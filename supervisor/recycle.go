package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// upkeep is the part of the world that replaces what works, and decides what follows an end.
type upkeep interface {
	watch(l *life) (cancel func())                              // its age and memory -> evWorn; nil: they have no bounds
	recycle(i *instance)                                        // -> evRenew, when it may be replaced
	failed(i *instance, e Exit, because string) (giveUp string) // before it is started again after a failure; giveUp: it is not
	ended(i *instance, well bool, e Exit)                       // for good
}

// look watches the newest life by the bounds of now.
func (i *instance) look() {
	if l := i.life; l.unwatch != nil {
		l.unwatch()
	}
	i.life.unwatch = i.world.watch(i.life)
}

// worn: it has done its part, and is replaced at the next occasion.
func (i *instance) worn(e event) {
	l := i.life
	if !l.spawned || l.exited || l.worn != "" {
		return
	}
	if l.worn = e.cause; i.state == Running {
		i.world.recycle(i)
	}
}

// renew replaces a worn process: a stop with want up that is neither a failure nor somebody's wish.
func (i *instance) renew(event) {
	l := i.life
	if l.worn == "" || l.cause != "" {
		return // it was replaced for another reason meanwhile
	}
	i.free = true
	i.recycles++
	l.motive = "replaced, " + l.worn
	i.end("is being replaced: " + l.worn)
}

// cede is a stop with want up on behalf of the group. Who has no process yet finds the gate closed.
func (i *instance) cede(e event) {
	l := i.life
	if l == nil || l.exited {
		return
	}
	i.free, i.unasked = true, true
	l.motive = "its group's " + e.cause
	i.end("is stopped because of its group: " + e.cause)
}

// recycle replaces a worn process in its satellite's turn, while the others are up: never two at a time.
func (s *Supervisor) recycle(i *instance) {
	ctx := context.Background()
	s.crew.run(func() {
		for {
			sat := s.roster().byName[i.ref.Name]
			if sat == nil || !s.take(ctx, sat) {
				return
			}
			if sat.othersUp(i) {
				w := &waiter{goal: goalSettled, reply: make(chan Result, 1)}
				i.post(event{kind: evRenew, wait: w})
				s.await(ctx, i, w.reply)
				sat.give()
				return
			}
			sat.give()
			select {
			case <-time.After(patienceWithOthers):
			case <-s.stopped:
				return
			}
			if i.status.Load().State != Running {
				return // when it is ready again it asks again
			}
		}
	})
}

// patienceWithOthers is how often a worn instance looks whether the others of its satellite are up again.
const patienceWithOthers = time.Second

// othersUp: no other instance of the satellite is on its way up or down.
func (s *slots) othersUp(i *instance) bool {
	for _, other := range s.instances() {
		if st := other.status.Load(); other != i && st.Want == Up && st.State != Running && st.State != Fatal {
			return false
		}
	}
	return true
}

// Worn tells that a process has handled as many messages as it shall.
func (s *Supervisor) Worn(ref topology.Ref, inc topology.Incarnation, why string) {
	if i := s.find(ref); i != nil {
		i.post(event{kind: evWorn, inc: inc, cause: why})
	}
}

// wear watches the age and the memory of a life, where it has bounds.
type wear struct {
	mu     sync.Mutex
	over   bool
	timers [2]*time.Timer
}

// The timers of a wear.
const (
	wearAge = iota
	wearMemory
)

// watch begins it; nil when there is nothing to watch.
func (s *Supervisor) watch(l *life) (cancel func()) {
	r := l.of.spec.Recycle
	if r.Age <= 0 && r.Memory <= 0 {
		return nil
	}
	w := &wear{}
	if r.Age > 0 {
		age := time.Duration(float64(r.Age) * (1 + r.Jitter*(2*s.roll()-1)))
		w.after(wearAge, age-s.now().Sub(l.started), func() {
			l.of.post(event{kind: evWorn, life: l, cause: fmt.Sprintf("it has run for %s", round(age))})
		})
	}
	if r.Memory > 0 {
		s.weigh(w, l, r)
	}
	return w.end
}

// weigh looks at the memory again and again, until it is too much.
func (s *Supervisor) weigh(w *wear, l *life, r topology.Recycle) {
	w.after(wearMemory, r.Every, func() {
		s.crew.run(func() {
			if used := memoryOf(l.mainPID()); used >= r.Memory {
				l.of.post(event{kind: evWorn, life: l, cause: fmt.Sprintf("it takes %s of memory, and shall take less than %s", mebibytes(used), mebibytes(r.Memory))})
				return
			}
			s.weigh(w, l, r)
		})
	})
}

func (w *wear) after(which int, d time.Duration, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.timers[which] = time.AfterFunc(max(d, 0), f)
	}
}

func (w *wear) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for _, t := range w.timers {
		if t != nil {
			t.Stop()
		}
	}
}

func mebibytes(n int64) string {
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}

// memoryOf is what a process and all it has forked take, in bytes: the proportional share of each page (PSS) where the kernel tells
// it, else what is resident.
func memoryOf(pid int) int64 {
	sum := memoryOfOne(pid)
	for _, k := range descendants(pid) {
		sum += memoryOfOne(k.pid)
	}
	return sum
}

func memoryOfOne(pid int) int64 {
	if text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup"); err == nil {
		if n, ok := parsePss(text); ok {
			return n
		}
	}
	text, err := readSmall("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0 // it has ended
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

// parsePss reads the line "Pss:    1234 kB" of smaps_rollup.
func parsePss(text []byte) (int64, bool) {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte("Pss:"))
		if !ok {
			continue
		}
		fields := bytes.Fields(rest)
		if len(fields) != 2 || string(fields[1]) != "kB" {
			return 0, false
		}
		n, err := strconv.ParseInt(string(fields[0]), 10, 64)
		return n << 10, err == nil && n >= 0
	}
	return 0, false
}
