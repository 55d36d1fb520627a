package mem

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/satellites/probe"
)

const text = `MemTotal:       1000 kB
MemFree:        400 kB
MemAvailable:   750 kB
Buffers:            10 kB
Cached:            20 kB
SwapCached:            0 kB
Dirty:            1 kB
Shmem:            2 kB
SwapTotal:       30 kB
SwapFree:        40 kB
HugePages_Total:       0
`

func TestParseMeminfo(t *testing.T) {
	got, err := ParseMeminfo([]byte(text))
	want := Sample{
		Total: 1000 << 10, Free: 400 << 10, Available: 750 << 10, Buffers: 10 << 10, Cached: 20 << 10, Shared: 2 << 10, Dirty: 1 << 10,
		SwapTotal: 30 << 10, SwapFree: 40 << 10, Used: 25,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	old, err := ParseMeminfo([]byte(strings.Replace(text, "MemAvailable", "Other", 1)))
	if err != nil || old.Available != 430<<10 {
		t.Errorf("without MemAvailable: %+v, %v", old, err)
	}
}

func TestTickIsKept(t *testing.T) {
	tick := probe.Tick{Seq: 3, Time: time.Unix(9, 0)}
	got, err := New(func(string) ([]byte, error) { return []byte(text), nil })(tick, tick.Time)
	if err != nil || len(got) != 1 || got[0].(Sample).Tick != tick {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBadTexts(t *testing.T) {
	for _, text := range []string{"", "MemTotal:", "MemTotal: x kB", "MemTotal: 99999999999999999999 kB", "MemFree: 1 kB", "MemTotal: 18446744073709551615 kB"} {
		if _, err := ParseMeminfo([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseMeminfo(f *testing.F) {
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := ParseMeminfo(text); err == nil && (s.Used < 0 || s.Used > 100 || s.Available > s.Total) {
			t.Errorf("%+v", s)
		}
	})
}
