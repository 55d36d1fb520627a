package supervisor

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Who is inside is waited for; who comes while it is shut waits, and is let in afterwards, once.
func TestTurnstile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turnstile
		var done atomic.Int32
		crew, inside := &crew{}, make(chan struct{})
		turns.run(crew, func() { <-inside })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := turns.freeze(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("somebody is inside: %v", err)
		}
		close(inside)
		if err := turns.freeze(context.Background()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if !turns.run(crew, func() { done.Add(1) }) {
				t.Error("the crew has not gone home")
			}
		}
		synctest.Wait()
		if n := done.Load(); n != 0 {
			t.Errorf("%d came in while it was shut", n)
		}
		turns.thaw(crew)
		turns.run(crew, func() {})
		crew.close()
		if n := done.Load(); n != 3 {
			t.Errorf("%d of 3 came in afterwards", n)
		}
		if len(turns.held) != 0 || turns.inside != 0 {
			t.Errorf("%d are held, %d inside", len(turns.held), turns.inside)
		}
	})
}

// A fork under way ends before the freeze; what comes later happens after it.
func TestForksAreFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newSpawnQueue()
		q.begin()
		ctx, end := context.WithCancel(context.Background())
		ran := make(chan struct{})
		go func() { defer close(ran); q.run(ctx) }()
		under, forked := make(chan struct{}), make(chan string, 4)
		go q.put(func() { <-under; forked <- "first" })
		synctest.Wait()
		frozen := make(chan error, 1)
		go func() { frozen <- q.freeze(context.Background()) }()
		synctest.Wait()
		q.put(func() { forked <- "second" })
		close(under)
		if err := <-frozen; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := <-forked; got != "first" || len(forked) != 0 {
			t.Errorf("%q was forked, and %d more", got, len(forked))
		}
		q.thaw()
		if got := <-forked; got != "second" {
			t.Errorf("%q was forked", got)
		}
		end()
		<-ran
	})
}

// What was handed over by a dsatd of another format, or damaged, is refused before anything is changed.
func TestBadEstates(t *testing.T) {
	s := &Supervisor{}
	for _, text := range []string{"", "null!", "{}", `{"Version":2}`, `{"Version":1,"Instances":[{"Ref":"no such ref"}]}`, `{"Version":1,"Instances":7}`} {
		if err := s.inherit([]byte(text), nil); err == nil || s.estate.given {
			t.Errorf("%q was taken: %v", text, err)
		}
	}
	if err := s.inherit(nil, nil); err != nil || s.estate.given {
		t.Errorf("nothing is no estate: %v", err)
	}
}
