package logs

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/topology"
)

// What is above the rate is counted, and said once a period, even when nothing more is written.
func TestRateLimitedBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, topology.Log{Rate: topology.LogRate{Lines: 10, Per: time.Second}, Ring: 1 << 20})
		defer d.posts.close()
		for range 3 {
			var lines []string
			for n := range 2000 {
				lines = append(lines, fmt.Sprint("line ", n))
			}
			d.say(time.Now(), Stdout, lines...)
		}
		d.Append(time.Now(), Origin{Stream: Stdout}, false, [][]byte{[]byte("for memory only")})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		d.say(time.Now(), Stdout, "after it")
		got := d.read("cpu.0.log")
		if strings.Count(got, "out line ") != 10 || strings.Count(got, "err dsatd: suppressed 5,990 lines above log.rate\n") != 1 || !strings.HasSuffix(got, "after it\n") {
			t.Errorf("%q", got)
		}
		if d.suppressed != 5990 || len(d.Newest(100, 0)) != 13 {
			t.Errorf("%d, %d", d.suppressed, len(d.Newest(100, 0)))
		}
	})
}

func TestRate(t *testing.T) {
	m := newMeter(&topology.Log{Rate: topology.LogRate{Lines: 10, Per: time.Second}, Burst: 20})
	now := morning
	if got := m.admit(100, now); got != 20 {
		t.Errorf("burst: %d", got)
	}
	now = now.Add(time.Second)
	if got := m.admit(100, now); got != 10 {
		t.Errorf("after a second: %d", got)
	}
	now = now.Add(-time.Hour)
	if got := m.admit(1, now); got != 0 {
		t.Errorf("after the clock went back: %d", got)
	}
	m.debit(49, now)
	if d := m.debt(now); d < 4900*time.Millisecond || d > 5100*time.Millisecond {
		t.Errorf("debt: %s", d)
	}
	if got := m.admit(100, now.Add(time.Hour)); got != 20 {
		t.Errorf("after an hour: %d", got)
	}
}
