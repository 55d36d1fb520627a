package supervisor

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

func TestExitTexts(t *testing.T) {
	for want, e := range map[string]Exit{
		"exit code 3":                               {Code: 3},
		"killed by signal 9 (SIGKILL)":              {Signal: syscall.SIGKILL},
		"killed by signal 6 (SIGABRT), core dumped": {Signal: syscall.SIGABRT, Core: true},
		"cannot execute /x: why":                    {Err: errors.New("cannot execute /x: why")},
		"not ready within 30s: x":                   {Signal: syscall.SIGTERM, Cause: "not ready within 30s: x"},
	} {
		if e.because() != want {
			t.Errorf("%q, want %q", e.because(), want)
		}
	}
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 112: "112th"} {
		if ordinal(n) != want {
			t.Errorf("%s, want %s", ordinal(n), want)
		}
	}
}

func TestPolicy(t *testing.T) {
	failed, ended := Exit{Code: 3}, Exit{}
	base := topology.Restart{
		Policy: topology.RestartAlways, SuccessCodes: []int{0, 9}, SuccessSignals: []syscall.Signal{syscall.SIGHUP}, ForbidCodes: []int{2},
		Backoff: topology.Backoff{Initial: time.Second, Factor: 2, Max: 5 * time.Second, Reset: time.Minute},
	}
	with := func(f func(*topology.Restart)) topology.Restart { p := base; f(&p); return p }
	onFailure := with(func(p *topology.Restart) { p.Policy = topology.RestartOnFailure })
	never := with(func(p *topology.Restart) { p.Policy = topology.RestartNever })
	for name, c := range map[string]struct {
		p       topology.Restart
		crashes int
		e       Exit
		v       verdict
		delay   time.Duration
	}{
		"the first restarts at once":          {base, 0, failed, again, 0},
		"the second waits":                    {base, 1, failed, again, time.Second},
		"the third waits longer":              {base, 2, failed, again, 2 * time.Second},
		"capped":                              {base, 50, failed, again, 5 * time.Second},
		"capped without overflow":             {base, 1 << 30, failed, again, 5 * time.Second},
		"healthy time is forgiveness":         {base, 9, Exit{Code: 3, Uptime: time.Minute}, again, 0},
		"always, also after success":          {base, 1, ended, again, time.Second},
		"on-failure ends with success":        {onFailure, 0, ended, done, 0},
		"on-failure ends with another code":   {onFailure, 0, Exit{Code: 9}, done, 0},
		"on-failure after failure":            {onFailure, 0, failed, again, 0},
		"a signal of success":                 {onFailure, 0, Exit{Signal: syscall.SIGHUP}, done, 0},
		"a code that forbids":                 {base, 0, Exit{Code: 2}, forbid, 0},
		"a code that forbids, whatever":       {never, 9, Exit{Code: 2, Uptime: time.Hour}, forbid, 0},
		"a cause is no code":                  {base, 0, Exit{Code: 2, Cause: "not ready"}, again, 0},
		"nor is a signal of that number":      {base, 0, Exit{Signal: 2}, again, 0},
		"a signal is no success":              {onFailure, 0, Exit{Signal: syscall.SIGTERM}, again, 0},
		"a cause is no success":               {onFailure, 0, Exit{Cause: "not ready"}, again, 0},
		"a failed spawn is no success":        {onFailure, 0, Exit{Err: errors.New("x")}, again, 0},
		"never":                               {never, 0, failed, done, 0},
		"no cap":                              {with(func(p *topology.Restart) { p.Backoff.Max = 0 }), 5, failed, again, 16 * time.Second},
		"a factor below one does not shorten": {with(func(p *topology.Restart) { p.Backoff.Factor = 0 }), 5, failed, again, time.Second},
	} {
		v, d, _ := next(c.p, history{crashes: c.crashes}, c.e, time.Now(), 0.5)
		if v != c.v || d != c.delay {
			t.Errorf("%s: verdict %d after %s, want %d after %s", name, v, d, c.v, c.delay)
		}
	}
}

// Never more than limit starts in any window, and never given up with fewer.
func TestLimitIsASlidingWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := topology.Restart{
			Policy: topology.RestartAlways, Limit: rapid.IntRange(1, 6).Draw(t, "limit"), Window: time.Minute,
			Backoff: topology.Backoff{
				Initial: time.Second, Factor: 2, Max: 20 * time.Second, Jitter: rapid.Float64Range(0, 1).Draw(t, "jitter"),
			},
		}
		var h history
		var starts []time.Time
		now := time.Now()
		for range rapid.IntRange(1, 40).Draw(t, "exits") {
			h.started(p, now)
			starts = append(starts, now)
			uptime := time.Duration(rapid.IntRange(0, 30_000).Draw(t, "uptime")) * time.Millisecond
			now = now.Add(uptime)
			v, d, after := next(p, h, Exit{Code: 1, Uptime: uptime}, now, rapid.Float64Range(0, 0.999).Draw(t, "roll"))
			inside := 0
			for _, s := range starts {
				if now.Sub(s) < p.Window {
					inside++
				}
			}
			if (v == giveUp) != (inside >= p.Limit) {
				t.Fatalf("verdict %d with %d starts in the window, limit %d", v, inside, p.Limit)
			}
			if d < 0 || d > 2*p.Backoff.Max {
				t.Fatalf("delay %s", d)
			}
			if v == giveUp {
				return
			}
			h = after
			if len(h.starts) > p.Limit {
				t.Fatalf("%d starts are remembered", len(h.starts))
			}
			now = now.Add(d)
		}
	})
}
