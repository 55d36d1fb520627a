package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

// another is a topology like the one that runs, of other satellites.
func (r *rig) another(sats ...*topology.Satellite) *topology.Topology {
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range sats {
		s.Command = []string{self}
	}
	now := *r.roster().topology
	now.Satellites = sats
	return &now
}

// pids are those of all that runs, by instance.
func (r *rig) pids() map[string]int {
	out := map[string]int{}
	for _, sat := range r.Snapshot() {
		for _, i := range sat.Instances {
			out[i.Ref.String()] = i.PID
		}
	}
	return out
}

func (r *rig) apply(next *topology.Topology, opt ApplyOptions) (Applied, error) {
	return r.Apply(context.Background(), topology.Diff(r.roster().topology, next), opt)
}

func booted(t *testing.T, sats ...*topology.Satellite) *rig {
	t.Helper()
	r := start(t, sats)
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestApplyTouchesOnlyWhatChanged(t *testing.T) {
	r := booted(t, satelliteOf("a", "pause", ""), satelliteOf("b", "pause", "1"), satelliteOf("c", "pause", ""), satelliteOf("old", "pause", ""))
	before := r.pids()
	gone := before["c:0"]
	live := satelliteOf("a", "pause", "")
	live.Stop.Deadline, live.Restart.Limit = time.Second, 1
	d, renamed := satelliteOf("d", "pause", ""), satelliteOf("new", "pause", "")
	d.Needs, renamed.MovedFrom = []topology.Need{{Name: "b"}}, "old"
	var stages []string
	applied, err := r.apply(r.another(live, d, satelliteOf("b", "pause", "2"), renamed), ApplyOptions{
		Stage: func(_ context.Context, next *topology.Topology, moved map[string]string, _ map[string]bool) error {
			var names []string
			for _, s := range next.Satellites {
				names = append(names, s.Name)
			}
			stages = append(stages, strings.Join(names, " "))
			if len(moved) > 0 && !maps.Equal(moved, map[string]string{"old": "new"}) {
				t.Error(moved)
			}
			return nil
		},
	})
	if err != nil || applied.Back {
		t.Fatal(applied, err)
	}
	after := r.pids()
	if after["a:0"] != before["a:0"] || after["b:0"] == before["b:0"] || after["b:0"] == 0 || after["d:0"] == 0 || after["new:0"] == 0 || len(after) != 4 {
		t.Errorf("%v -> %v", before, after)
	}
	if _, err := readStat(gone); err == nil {
		t.Error("the removed one lives")
	}
	if want := []string{"a d b new c", "a d b new c", "a d b new"}; !slices.Equal(stages, want) {
		t.Errorf("%q", stages)
	}
	if _, err := r.Stop(context.Background(), []topology.Ref{ref("a", 0)}); err != nil {
		t.Error(err)
	}
	if applied, err := r.apply(r.another(live, d, satelliteOf("b", "pause", "2"), renamed), ApplyOptions{}); err != nil || len(applied.Results) > 0 {
		t.Errorf("the same once more: %+v %v", applied, err)
	}
}

// One that does not become ready takes everything back: also what was changed before it, what was added, and what was renamed.
func TestApplyGoesBack(t *testing.T) {
	for name, bad := range map[string]*topology.Satellite{
		"exits": satelliteOf("z", "exit", "3"), "cannot be executed": satelliteOf("z", "pause", ""), "is never ready": satelliteOf("z", "pause", "x"),
	} {
		t.Run(name, func(t *testing.T) {
			r := booted(t, satelliteOf("a", "pause", "1"), satelliteOf("keep", "pause", ""), satelliteOf("old", "pause", ""), satelliteOf("z", "pause", "1"), satelliteOf("c", "pause", ""))
			before, was := r.pids(), r.roster()
			bad.Needs = []topology.Need{{Name: "a"}, {Name: "new"}, {Name: "add"}}
			renamed := satelliteOf("new", "pause", "")
			renamed.MovedFrom = "old"
			next := r.another(satelliteOf("a", "pause", "2"), satelliteOf("keep", "pause", ""), renamed, satelliteOf("add", "pause", ""), bad)
			switch name {
			case "cannot be executed":
				bad.Command = []string{"/no/such/program"}
			case "is never ready":
				bad.Ready = topology.Ready{Kind: topology.ReadyTCP, TCP: "127.0.0.1:1", Every: time.Millisecond, Deadline: 50 * time.Millisecond}
			}
			applied, err := r.apply(next, ApplyOptions{Settle: time.Minute}) // ended by the first that fails
			if err == nil || !applied.Back || !strings.Contains(err.Error(), "z:0 did not") {
				t.Fatal(applied, err)
			}
			after := r.pids()
			if r.roster() != was || len(after) != len(before) || after["keep:0"] != before["keep:0"] || after["c:0"] != before["c:0"] {
				t.Errorf("%v -> %v", before, after)
			}
			for _, n := range []string{"a", "old", "z"} {
				if st := r.until(ref(n, 0), "running", func(st InstanceStatus) bool { return st.State == Running }); st.PID == 0 {
					t.Errorf("%+v", st)
				}
			}
			if i := r.find(ref("a", 0)); i.spec.Env["DSAT_ARG"] != "1" {
				t.Error(i.spec.Env)
			}
		})
	}
}

// Whatever stage the other side refuses, and whatever happens to it, nothing is half done.
func TestApplyIsAllOrNothing(t *testing.T) {
	refused := errors.New("refused")
	for fail := range 4 {
		t.Run(fmt.Sprint(fail), func(t *testing.T) {
			r := booted(t, satelliteOf("a", "pause", "1"), satelliteOf("b", "pause", ""), satelliteOf("c", "pause", ""))
			keep := r.pids()["b:0"]
			n := 0
			wider := satelliteOf("b", "pause", "")
			wider.Instances = 3
			applied, err := r.apply(r.another(satelliteOf("a", "pause", "2"), wider, satelliteOf("d", "pause", "")), ApplyOptions{
				Stage: func(context.Context, *topology.Topology, map[string]string, map[string]bool) error {
					if n++; n == fail+1 {
						return refused
					}
					return nil
				},
				Empty: func(context.Context, string) error {
					if fail == 3 {
						return refused
					}
					return nil
				},
			})
			if !errors.Is(err, refused) || !applied.Back {
				t.Fatal(applied, err)
			}
			after := r.pids()
			if got := slices.Sorted(maps.Keys(after)); !slices.Equal(got, []string{"a:0", "b:0", "c:0"}) || after["b:0"] != keep {
				t.Error(after)
			}
			for name, pid := range after {
				if pid == 0 {
					t.Error(name, "is down")
				}
			}
		})
	}
}

// A stop by hand in the middle is heeded, and one before it too.
func TestApplyLeavesTheStoppedStopped(t *testing.T) {
	r := booted(t, satelliteOf("a", "pause", "1"), satelliteOf("b", "pause", "1"))
	if _, err := r.Stop(context.Background(), []topology.Ref{ref("a", 0)}); err != nil {
		t.Fatal(err)
	}
	slow := satelliteOf("b", "pause", "2")
	slow.Ready = topology.Ready{Kind: topology.ReadyTCP, TCP: "127.0.0.1:1", Every: time.Millisecond, Deadline: time.Minute}
	done := make(chan error, 1)
	go func() {
		_, err := r.apply(r.another(satelliteOf("a", "pause", "2"), slow), ApplyOptions{})
		done <- err
	}()
	r.until(ref("b", 0), "starting anew", func(st InstanceStatus) bool { return st.State == Starting })
	if _, err := r.Stop(context.Background(), []topology.Ref{ref("b", 0)}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if st := r.status(ref(name, 0)); st.State != Stopped {
			t.Errorf("%+v", st)
		}
	}
	if _, err := r.Start(context.Background(), []topology.Ref{ref("a", 0)}); err != nil {
		t.Fatal(err)
	}
	if i := r.find(ref("a", 0)); i.spec.Env["DSAT_ARG"] != "2" {
		t.Error("the new entry was not taken")
	}
}

// The end of the daemon in the middle of a change: nothing is undone, and nothing is left alive.
func TestApplyIsCutShort(t *testing.T) {
	r := booted(t, satelliteOf("a", "pause", "1"), satelliteOf("c", "pause", ""))
	slow := satelliteOf("a", "pause", "2")
	slow.Ready = topology.Ready{Kind: topology.ReadyTCP, TCP: "127.0.0.1:1", Every: time.Millisecond, Deadline: time.Minute}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	p := topology.Diff(r.roster().topology, r.another(slow, satelliteOf("d", "pause", "")))
	go func() {
		_, err := r.Apply(ctx, p, ApplyOptions{})
		done <- err
	}()
	r.until(ref("a", 0), "starting anew", func(st InstanceStatus) bool { return st.State == Starting })
	cancel()
	if err := <-done; !errors.Is(err, ErrHalted) {
		t.Fatal(err)
	}
	if err := r.StopAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left := livingChildren(); len(left) > 0 {
		t.Error(left)
	}
}

// A name that was removed and comes again goes on counting its lives.
func TestIncarnationsGoOnOverRemoval(t *testing.T) {
	r := booted(t, satelliteOf("a", "pause", ""), satelliteOf("b", "pause", ""))
	first := r.status(ref("b", 0)).Inc
	for _, next := range []*topology.Topology{r.another(satelliteOf("a", "pause", "")), r.another(satelliteOf("a", "pause", ""), satelliteOf("b", "pause", ""))} {
		if _, err := r.apply(next, ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if again := r.status(ref("b", 0)).Inc; again <= first {
		t.Errorf("%s after %s", again, first)
	}
}
