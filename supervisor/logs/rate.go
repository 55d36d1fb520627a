package logs

import (
	"fmt"
	"strconv"
	"time"

	"github.com/dsat/dsat/topology"
)

// meter counts lines against a rate: a bucket of tokens that fills as time goes by.
type meter struct {
	rate   topology.LogRate // Lines 0: no limit
	burst  float64
	tokens float64
	at     time.Time
}

func newMeter(l *topology.Log) meter {
	m := meter{rate: l.Rate, burst: float64(l.Burst)}
	if l.Burst == 0 {
		m.burst = float64(l.Rate.Lines)
	}
	m.tokens = m.burst
	return m
}

func (m *meter) fill(now time.Time) {
	if !m.at.IsZero() {
		m.tokens = min(m.burst, m.tokens+max(now.Sub(m.at).Seconds(), 0)*m.perSecond())
	}
	m.at = now
}

func (m *meter) perSecond() float64 { return float64(m.rate.Lines) / m.rate.Per.Seconds() }

// admit says how many of n lines are within the rate, and takes them.
func (m *meter) admit(n int, now time.Time) int {
	if m.rate.Lines == 0 {
		return n
	}
	m.fill(now)
	n = min(n, int(m.tokens))
	m.tokens -= float64(n)
	return n
}

// debit takes n lines whatever the rate.
func (m *meter) debit(n int, now time.Time) {
	if m.rate.Lines > 0 {
		m.fill(now)
		m.tokens -= float64(n)
	}
}

// debt is how long it takes until another line is within the rate.
func (m *meter) debt(now time.Time) time.Duration {
	if m.rate.Lines == 0 {
		return 0
	}
	if m.fill(now); m.tokens >= 1 {
		return 0
	}
	return time.Duration((1 - m.tokens) / m.perSecond() * float64(time.Second))
}

// limit is how many of n lines a book takes. Those above the rate are counted, and said when the period of the rate is over. The caller
// holds the lock.
func (b *Book) limit(n int, at time.Time) int {
	if b.rules.Overload == topology.LogBlock {
		b.meter.debit(n, at)
		return n
	}
	fit := b.meter.admit(n, at)
	if fit < n {
		if b.excess == 0 {
			time.AfterFunc(b.meter.rate.Per, b.confess)
		}
		b.excess += n - fit
		b.suppressed += uint64(n - fit)
	}
	return fit
}

// confess says how many lines were dropped.
func (b *Book) confess() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.excess == 0 {
		return
	}
	text := fmt.Sprintf("dsatd: suppressed %s lines above log.rate", thousands(b.excess))
	b.excess = 0
	b.take(time.Now(), &Origin{ref: b.ref, Stream: Stderr}, true, [][]byte{[]byte(text)})
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Owed is how long the satellite has to wait for its rate; blocks is false where it never waits, because its rules would rather lose lines.
func (b *Book) Owed(now time.Time) (d time.Duration, blocks bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rules.Overload != topology.LogBlock {
		return 0, false
	}
	return b.meter.debt(now), true
}

// Crowded reports that the files of the stream do not keep up; f is called once, from the writer, when they do again. With a nil f it is
// only asked.
func (b *Book) Crowded(s Stream, f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	file := b.fileOf(s)
	return file != nil && b.lib.writer.crowded(file, f)
}
