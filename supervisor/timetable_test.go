package supervisor

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/topology"
)

// office is a timetable over instances of a test's own world, in simulated time.
type office struct {
	*stage
	table  *timetable
	s      *Supervisor
	i      *instance
	offset atomic.Int64 // by which the clock on the wall was set, ns
	turns  atomic.Int64
}

func (o *office) changed(i *instance, from State, now *InstanceStatus) {
	o.stage.changed(i, from, now)
	o.table.changed(i, from, now)
}

// open makes one with a satellite "x" whose schedules these are; it must be called in a bubble.
func openOffice(t *testing.T, state string, plans ...topology.Schedule) *office {
	t.Helper()
	o := &office{stage: &stage{}}
	spec := &topology.Satellite{Name: "x", Instances: 1, Schedules: plans, Ready: topology.Ready{Kind: topology.ReadySpawned}, Restart: topology.Restart{Policy: topology.RestartNever, SuccessCodes: []int{0}}, Stop: topology.Stop{Signal: 15, Deadline: time.Second}}
	topo := &topology.Topology{Satellites: []*topology.Satellite{spec}}
	o.s = &Supervisor{log: slog.New(slog.DiscardHandler), crew: &crew{}, order: newOrder(topo)}
	sat := &satellite{spec: spec, slots: &slots{turn: make(chan struct{}, 1), all: map[int]*instance{}}}
	o.table = newTimetable(o.s, state)
	o.i = newInstance(ref("x", 0), spec, o)
	sat.list.Store(&[]*instance{o.i})
	r := newRoster(topo)
	r.add(sat)
	o.s.present.Store(r)
	base := time.Now()
	o.table.clock = func() clocks {
		o.turns.Add(1)
		return clocks{wall: time.Now().Add(time.Duration(o.offset.Load())).Round(0), boot: time.Since(base)}
	}
	o.table.permit(true)
	ctx, end := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { o.table.run(ctx); done <- struct{}{} }()
	go func() { o.table.sheet.run(ctx); done <- struct{}{} }()
	t.Cleanup(func() {
		end()
		<-done
		<-done
		o.crew.close()
		o.s.crew.close()
	})
	synctest.Wait()
	return o
}

// fork lets what is to be spawned be spawned.
func (o *office) fork() {
	synctest.Wait()
	o.mu.Lock()
	for _, a := range o.lives {
		if !a.forked && !a.dead {
			a.forked, a.pid, a.started = true, 100, time.Now()
			o.i.post(event{kind: evSpawned, life: a.life})
		}
	}
	o.mu.Unlock()
	synctest.Wait()
}

// finish ends the process that there is.
func (o *office) finish(code int) {
	o.mu.Lock()
	for _, a := range o.lives {
		if a.forked && !a.dead {
			a.dead = true
			o.i.post(event{kind: evExit, life: a.life, exit: Exit{Code: code}})
		}
	}
	o.mu.Unlock()
	synctest.Wait()
	o.mu.Lock()
	o.sweep()
	o.mu.Unlock()
	synctest.Wait()
}

func (o *office) want(t *testing.T, what string, runs int, state State) {
	t.Helper()
	synctest.Wait()
	o.fork()
	o.mu.Lock()
	defer o.mu.Unlock()
	if st := o.i.status.Load(); len(o.lives) != runs || st.State != state {
		t.Fatalf("%s: %d runs, %s (%s); want %d, %s", what, len(o.lives), st.State, st.Why, runs, state)
	}
}

func TestTimetableOverlap(t *testing.T) {
	for _, c := range []struct {
		overlap topology.Overlap
		second  int // runs after the second time, with the first not over
		over    int // after the first is over
	}{{topology.OverlapSkip, 1, 1}, {topology.OverlapQueue, 1, 2}} {
		synctest.Test(t, func(t *testing.T) {
			o := openOffice(t, "", topology.Schedule{Every: time.Hour, Overlap: c.overlap, Missed: topology.MissedSkip, Action: topology.ActionStart})
			o.want(t, "before", 0, Stopped)
			time.Sleep(time.Hour)
			o.want(t, "first", 1, Running)
			time.Sleep(3 * time.Hour)
			o.want(t, "overlapped", c.second, Running)
			all, last, _ := o.table.view("x")
			if all[0].Note == "" || !last.Ended.IsZero() || time.Until(all[0].Next) != time.Hour {
				t.Fatalf("%s: %+v, %+v", c.overlap, all[0], last)
			}
			o.finish(0)
			state := Exited
			if c.over > c.second {
				state = Running
			}
			o.want(t, "over", c.over, state)
			o.finish(3)
			if _, last, _ = o.table.view("x"); last.Result == "" || last.Ended.IsZero() {
				t.Fatalf("%+v", last)
			}
			if st := o.i.status.Load(); st.Want != Down {
				t.Fatalf("a job that is over is wanted: %+v", st)
			}
		})
	}
}

func TestTimetableKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := openOffice(t, "", topology.Schedule{Every: time.Hour, Overlap: topology.OverlapKill, Action: topology.ActionStart})
		time.Sleep(time.Hour)
		o.want(t, "first", 1, Running)
		time.Sleep(time.Hour)
		o.want(t, "second", 1, Stopping)
		o.finish(0)
		o.want(t, "in its place", 2, Running)
	})
}

// What was stopped by hand stays down until its next time; what waited is forgotten.
func TestTimetableStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := openOffice(t, "", topology.Schedule{Every: time.Hour, Overlap: topology.OverlapQueue, Action: topology.ActionStart})
		time.Sleep(2 * time.Hour)
		o.want(t, "first, and one waits", 1, Running)
		o.i.post(event{kind: evStop})
		synctest.Wait()
		o.finish(0)
		o.want(t, "stopped", 1, Stopped)
		time.Sleep(time.Hour)
		o.want(t, "its next time", 2, Running)
		o.table.permit(false)
		o.finish(0)
		time.Sleep(5 * time.Hour)
		o.want(t, "the end of dsatd", 2, Exited)
	})
}

// The clock is set while the loop sleeps: it notices within a minute. Without schedules it never wakes.
func TestTimetableClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the bubble's clock begins at midnight UTC
		o := openOffice(t, "", topology.Schedule{Cron: "0 12 * * *", Zone: "UTC", Overlap: topology.OverlapSkip, Missed: topology.MissedSkip, Action: topology.ActionStart})
		time.Sleep(11*time.Hour + 30*time.Minute)
		o.want(t, "half past eleven", 0, Stopped)
		o.offset.Store(int64(time.Hour))
		time.Sleep(61 * time.Second)
		o.want(t, "put over noon", 1, Running)
		o.finish(0)
		o.offset.Store(0)
		time.Sleep(2 * time.Hour)
		o.want(t, "noon again", 1, Exited)
		time.Sleep(24 * time.Hour)
		o.want(t, "noon of the next day", 2, Running)
	})
	synctest.Test(t, func(t *testing.T) {
		o := openOffice(t, "")
		before := o.turns.Load()
		time.Sleep(1000 * time.Hour)
		if woke := o.turns.Load() - before; woke != 0 {
			t.Errorf("it woke %d times", woke)
		}
	})
}

// What a disk did not take is written when it takes it, though no run is due for long; and then no more.
func TestTimesheetOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir() + "/not there yet"
		var said bytes.Buffer
		sheet := newTimesheet(dir, slog.New(slog.NewTextHandler(&said, nil)))
		ctx, end := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { sheet.run(ctx) })
		sheet.write([]*scheduled{{satellite: "x", plan: topology.Schedule{Name: "n", Every: time.Hour}}}, nil)
		time.Sleep(5 * sheetRetry)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(sheetRetry)
		synctest.Wait()
		if f, err := readSheet(sheet.path); err != nil || len(f.Due) != 1 {
			t.Errorf("with room again: %+v, %v", f, err)
		}
		if err := os.Remove(sheet.path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * sheetRetry)
		end()
		ended.Wait()
		if _, err := os.Stat(sheet.path); err == nil || strings.Count(said.String(), "level=ERROR") != 1 {
			t.Errorf("it was written again without need, or said too much: %v\n%s", err, said.String())
		}
	})
}

// What was due while no dsatd ran is known from the state directory; another's schedule, or a torn file, is not.
func TestTimetableMissed(t *testing.T) {
	dir := t.TempDir()
	plan := topology.Schedule{Name: "n", Cron: "0 * * * *", Zone: "UTC", Overlap: topology.OverlapSkip, Missed: topology.MissedAll, Action: topology.ActionStart}
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // the beginning of a bubble's time
	write := func(last time.Time, says string) {
		e := &scheduled{satellite: "x", plan: topology.Schedule{Name: "n", Cron: says, Zone: "UTC"}, last: last}
		sheet := newTimesheet(dir, slog.New(slog.DiscardHandler))
		sheet.write([]*scheduled{e}, map[string]*job{"x": {began: last, ended: last, well: true, result: "exit code 0"}})
		ctx, end := context.WithCancel(context.Background())
		end()
		sheet.run(ctx)
	}
	for _, c := range []struct {
		name string
		last time.Time
		says string
		runs int
	}{
		{"three, and one in time", at.Add(-3 * time.Hour), "0 * * * *", 3},
		{"another schedule", at.Add(-3 * time.Hour), "1 * * * *", 0},
		{"nothing missed", at, "0 * * * *", 0},
		{"from the future", at.Add(1000 * time.Hour), "0 * * * *", 0},
	} {
		write(c.last, c.says)
		synctest.Test(t, func(t *testing.T) {
			o := openOffice(t, dir, plan)
			runs := 0
			for ; runs < 10; runs++ {
				if o.fork(); o.i.status.Load().State != Running {
					break
				}
				o.finish(0)
			}
			if runs != c.runs {
				t.Errorf("%s: %d runs, want %d", c.name, runs, c.runs)
			}
		})
	}
}
