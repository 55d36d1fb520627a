package generate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/satellites/ledger"
)

func TestOptions(t *testing.T) {
	for text, options := range map[string]map[string]any{
		"":         {"rate": 20000, "size": 64, "count": 5, "burst": 10, "ledger": "x"},
		`"rate"`:   {"rate": -1},
		`"size"`:   {"size": 17 << 20},
		`"burst"`:  {"burst": 0},
		`"count"`:  {"count": -1},
		`"rat"`:    {"rat": 1},
		`"ledger"`: {"ledger": 1},
	} {
		_, err := Parse(options)
		if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
			t.Errorf("%v: %v", options, err)
		}
	}
}

// emitted runs the generator for d and returns when each message came, after the start.
func emitted(t *testing.T, o Options, d time.Duration) []time.Duration {
	t.Helper()
	var at []time.Duration
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	err := Emit(ctx, o, "g:0/1", func(payload []byte) error {
		if _, seq, err := ledger.ParsePayload(payload); err != nil || seq != uint64(len(at)+1) || len(payload) != o.Size {
			t.Errorf("message %d: %q, %v", len(at)+1, payload, err)
		}
		at = append(at, time.Since(start))
		return nil
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	return at
}

func TestRate(t *testing.T) {
	for name, tt := range map[string]struct {
		rate  float64
		burst int
		least int
		most  int
	}{
		"slow":     {rate: 10, burst: 1, least: 99, most: 101},
		"fast":     {rate: 20000, burst: 1, least: 199900, most: 200100},
		"bursts":   {rate: 100, burst: 50, least: 950, most: 1050},
		"fraction": {rate: 0.5, burst: 1, least: 5, most: 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at := emitted(t, Options{Rate: tt.rate, Burst: tt.burst, Size: 64}, 10*time.Second)
				if len(at) < tt.least || len(at) > tt.most {
					t.Errorf("%d in 10 s, want %d to %d", len(at), tt.least, tt.most)
				}
			})
		})
	}
}

func TestBurstsComeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := emitted(t, Options{Rate: 100, Burst: 50, Size: 64}, 10*time.Second)
		for i := range at {
			if i%50 != 0 && at[i] != at[i-1] {
				t.Fatalf("message %d came alone", i+1)
			}
		}
	})
}

func TestCountEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []float64{0, 1000} {
			if n := len(emitted(t, Options{Rate: rate, Burst: 7, Count: 100, Size: 64}, time.Hour)); n != 100 {
				t.Errorf("rate %v: %d messages, want 100", rate, n)
			}
		}
	})
}

func TestFailureOfEmitEndsIt(t *testing.T) {
	cause := errors.New("stop")
	if err := Emit(context.Background(), defaults(), "g", func([]byte) error { return cause }); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
