package supervisor

import (
	"fmt"
	"math"
	"time"

	"github.com/dsat/dsat/topology"
)

// verdict is what follows an exit nobody asked for.
type verdict uint8

const (
	again  verdict = iota // start again after the delay
	done                  // this was all
	giveUp                // too many starts in the window
	forbid                // its exit code says that another start makes no sense
)

// history is what the policy remembers of one instance.
type history struct {
	starts  []time.Time // newest last; never more than the limit
	crashes int         // restarts in a row without a healthy time between
}

// started notes a spawn. Only the newest limit starts can matter.
func (h *history) started(p topology.Restart, now time.Time) {
	if p.Limit <= 0 {
		return
	}
	h.starts = append(h.starts, now)
	if extra := len(h.starts) - p.Limit; extra > 0 {
		h.starts = append(h.starts[:0], h.starts[extra:]...)
	}
}

// spent: there were as many starts in the window as may be.
func (h *history) spent(p topology.Restart, now time.Time) bool {
	return p.Limit > 0 && len(h.starts) >= p.Limit && now.Sub(h.starts[len(h.starts)-p.Limit]) < p.Window
}

// next judges an exit nobody asked for. It is pure: roll is a random number in [0, 1) that spreads the delay; now must carry a
// monotonic reading. The returned history replaces h.
func next(p topology.Restart, h history, e Exit, now time.Time, roll float64) (verdict, time.Duration, history) {
	if p.Backoff.Reset > 0 && e.Err == nil && e.Uptime >= p.Backoff.Reset {
		h.crashes = 0
	}
	if e.forbids(p) {
		return forbid, 0, h
	}
	if p.Policy == topology.RestartNever || p.Policy == topology.RestartOnFailure && e.success(p) {
		return done, 0, h
	}
	h.crashes++
	if h.spent(p, now) {
		return giveUp, 0, h
	}
	return again, delay(p.Backoff, h.crashes, roll), h
}

// delay is the wait before the n-th restart in a row.
func delay(b topology.Backoff, n int, roll float64) time.Duration {
	if n <= 1 {
		return 0
	}
	d := float64(b.Initial) * math.Pow(max(b.Factor, 1), float64(n-2))
	if limit := float64(b.Max); limit > 0 && d > limit {
		d = limit
	}
	d *= 1 + b.Jitter*(2*roll-1)
	if !(d < math.MaxInt64/2) { // also true for NaN and infinity, which a huge n makes without a cap
		d = math.MaxInt64 / 2
	}
	return time.Duration(max(d, 0))
}

// ordinal is "1st", "2nd", "3rd", "4th", "11th".
func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
