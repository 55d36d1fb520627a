package supervisor

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

func TestCodeOfTheDaemon(t *testing.T) {
	own := topology.Ending{Kind: topology.EndExit, Code: topology.OwnCode}
	for name, c := range map[string]struct {
		e    Exit
		then topology.Ending
		well bool
		want int
	}{
		"its own":                         {Exit{Code: 7}, own, false, 7},
		"the one that was asked for":      {Exit{Code: 7}, topology.Ending{Kind: topology.EndExit, Code: 3}, false, 3},
		"that of a signal, as shells say": {Exit{Signal: syscall.SIGKILL}, own, false, 137},
		"it never ran":                    {Exit{Err: errors.New("x")}, own, false, 1},
		"it failed with 0":                {Exit{Cause: "not ready"}, own, false, 1},
		"it ended well":                   {Exit{}, own, true, 0},
		"it ended well with another code": {Exit{Code: 4}, own, true, 4},
		"zero, whatever it was":           {Exit{Code: 4}, topology.Ending{Kind: topology.EndExit}, false, 0},
	} {
		if got := c.e.codeFor(c.then, c.well); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// exits gathers what the daemon was asked for.
type exits chan string

func withExit(e exits) option {
	return func(c *Config) { c.Exit = func(code int, why string) { e <- string(rune('0'+code)) + " " + why } }
}

// All instances have to end well, the last of them is the end.
func TestDoneWhenAllAreDone(t *testing.T) {
	s := satelliteOf("job", "exit", "0")
	s.Instances, s.Restart.Policy, s.Restart.Done = 3, topology.RestartOnFailure, topology.Ending{Kind: topology.EndExit, Code: 5}
	told := make(exits, 8)
	r := start(t, []*topology.Satellite{s}, withExit(told))
	if _, err := r.Start(t.Context(), []topology.Ref{ref("job", 0), ref("job", 1)}); err != nil {
		t.Fatal(err)
	}
	for wid := range 2 {
		r.until(ref("job", wid), "done", func(st InstanceStatus) bool { return st.Success })
	}
	if len(told) > 0 {
		t.Fatalf("with one missing the end came: %s", <-told)
	}
	if _, err := r.Start(t.Context(), []topology.Ref{ref("job", 2)}); err != nil {
		t.Fatal(err)
	}
	if got := <-told; !strings.HasPrefix(got, `5 job:2 ended well, and its restart.done is "exit:5"`) {
		t.Error(got)
	}
}

// What a need of the stage done says, and when it is hopeless.
func TestNeedOfAOneShot(t *testing.T) {
	shot := &topology.Satellite{Name: "shot"}
	user := &topology.Satellite{Name: "user", Needs: []topology.Need{{Name: "shot", Stage: topology.StageDone}}}
	o := newOrder(&topology.Topology{Satellites: []*topology.Satellite{shot, user}})
	a, b := &instance{ref: ref("shot", 0)}, &instance{ref: ref("shot", 1)}
	u := newInstance(ref("user", 0), user, &stage{})
	for _, c := range []struct {
		a, b     phase
		why      string
		hopeless bool
	}{
		{phasePending, phasePending, "waits for shot to be done", false},
		{phaseSpawned, phaseHealthy, "waits for shot to be done", false},
		{phaseHealthy, phaseHealthy, "waits for shot to be done", false},
		{phaseDone, phaseHealthy, "waits for shot to be done", false},
		{phaseDone, phaseFailing, "waits for shot to be done", false},
		{phaseDone, phaseFailed, "waits for shot to be done, which has failed", true},
		{phaseDown, phaseDown, "waits for shot to be done, which is stopped", true},
		{phaseBlocked, phaseDown, "waits for shot to be done, which waits itself for one that is not", true},
		{phaseDone, phaseDown, "", false},
		{phaseDone, phaseDone, "", false},
	} {
		o.set(a, c.a)
		o.set(b, c.b)
		if why, hopeless := o.ask(u); why != c.why || hopeless != c.hopeless {
			t.Errorf("%d and %d: %q, %v; want %q, %v", c.a, c.b, why, hopeless, c.why, c.hopeless)
		}
	}
}

// A dependency that comes back ends the back-off of those that need it, and of nobody else.
func TestNeedEndsBackoff(t *testing.T) {
	slow := func(s *topology.Satellite) *topology.Satellite {
		s.Restart.Limit, s.Restart.Backoff = 0, topology.Backoff{Initial: time.Hour, Factor: 2, Max: time.Hour, Reset: time.Hour}
		return s
	}
	db := satelliteOf("db", "pause", "")
	user, other := slow(satelliteOf("user", "exit", "3")), slow(satelliteOf("other", "exit", "3"))
	user.Needs = []topology.Need{{Name: "db", Stage: topology.StageReady}}
	r := start(t, []*topology.Satellite{db, user, other})
	if _, err := r.Start(t.Context(), []topology.Ref{ref("db", 0)}); err != nil {
		t.Fatal(err)
	}
	all, err := r.resolve([]topology.Ref{ref("user", 0), ref("other", 0)})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		i.post(event{kind: evStart})
		r.until(i.ref, "in a long back-off", func(st InstanceStatus) bool { return st.State == Backoff && st.Due.After(time.Now().Add(time.Minute)) })
	}
	before, untouched := r.status(ref("user", 0)), r.status(ref("other", 0))
	kill9(t, r.status(ref("db", 0)).PID)
	r.until(ref("user", 0), "started again", func(st InstanceStatus) bool { return st.Inc > before.Inc })
	if now := r.status(ref("other", 0)); now.Inc != untouched.Inc {
		t.Errorf("%+v was %+v", now, untouched)
	}
}

// What holds for every policy and every exit.
func TestPolicyProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		p := topology.Restart{
			Policy:       []topology.RestartPolicy{topology.RestartAlways, topology.RestartOnFailure, topology.RestartNever}[pick(3, "policy")],
			SuccessCodes: [][]int{{0}, {0, 3}, nil}[pick(3, "success")], ForbidCodes: [][]int{nil, {2}}[pick(2, "forbid")],
			Limit: pick(4, "limit"), Window: time.Minute,
			Backoff: topology.Backoff{
				Initial: time.Duration(pick(2000, "initial")) * time.Millisecond, Factor: 1 + rapid.Float64Range(0, 99).Draw(t, "factor"),
				Max: 2*time.Second + time.Duration(pick(60, "max"))*time.Second, Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"), Reset: 10 * time.Second,
			},
		}
		now, h, last := time.Now(), history{}, time.Duration(0)
		for range pick(30, "exits") {
			h.started(p, now)
			e := Exit{Code: pick(4, "code"), Uptime: time.Duration(pick(15_000, "uptime")) * time.Millisecond}
			switch pick(5, "kind") {
			case 0:
				e.Signal = syscall.SIGKILL
			case 1:
				e.Cause = "not ready"
			case 2:
				e.Err = errors.New("cannot fork")
			}
			now = now.Add(e.Uptime)
			v, wait, after := next(p, h, e, now, rapid.Float64Range(0, 0.999).Draw(t, "roll"))
			v2, wait2, after2 := next(p, h, e, now, 0.5)
			calm := p
			calm.Backoff.Jitter = 0
			_, middle, _ := next(calm, h, e, now, 0)
			switch {
			case v != v2 || after.crashes != after2.crashes:
				t.Fatalf("chance decides: %d or %d", v, v2)
			case wait < 0 || float64(wait) > float64(p.Backoff.Max)*(1+p.Backoff.Jitter)+1:
				t.Fatalf("a delay of %s", wait)
			case v != again && (wait != 0 || wait2 != 0):
				t.Fatalf("verdict %d after %s", v, wait)
			case v == forbid && (e.Code != 2 || e.Signal != 0 || e.Err != nil || e.Cause != "" || p.ForbidCodes == nil):
				t.Fatalf("%s forbids", e)
			case v == done && p.Policy == topology.RestartAlways, v == again && p.Policy == topology.RestartNever,
				v == again && p.Policy == topology.RestartOnFailure && e.success(p), v == giveUp && p.Limit == 0:
				t.Fatalf("verdict %d of %+v after %s", v, p, e)
			case v == again && after.crashes == 1 && wait != 0:
				t.Fatalf("the first restart waits %s", wait)
			case v == again && after.crashes > max(h.crashes, 1) && middle < last && h.crashes > 0 && after.crashes == h.crashes+1:
				t.Fatalf("the delay shrinks from %s to %s", last, middle)
			}
			if v != again {
				return
			}
			h, last = after, middle
			now = now.Add(wait)
		}
	})
}
