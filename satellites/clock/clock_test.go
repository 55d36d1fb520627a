package clock

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestOptions(t *testing.T) {
	tests := map[string]struct {
		options map[string]any
		err     string
	}{
		"none":        {nil, ""},
		"every":       {map[string]any{"every": "250ms"}, ""},
		"bare number": {map[string]any{"every": 1}, "1m30s"},
		"too short":   {map[string]any{"every": "1us"}, "at least 1ms"},
		"unknown":     {map[string]any{"evry": "1s"}, `unknown option "evry": it takes every`},
		"other case":  {map[string]any{"Every": "1s"}, `unknown option "Every"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tt.options)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
		})
	}
}

// ticks runs the clock until n ticks were told; work is what telling tick i costs.
func ticks(t *testing.T, every time.Duration, n int, work func(i int) time.Duration) []Tick {
	t.Helper()
	var got []Tick
	enough := errors.New("enough")
	err := Run(context.Background(), every, func(payload []byte) error {
		var tick Tick
		if err := json.Unmarshal(payload, &tick); err != nil {
			t.Fatal(err)
		}
		got = append(got, tick)
		time.Sleep(work(len(got)))
		if len(got) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return got
}

func TestTicksAreMultiplesAndDoNotDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(123 * time.Millisecond) // not at a multiple
		got := ticks(t, time.Second, 100, func(int) time.Duration { return 300 * time.Millisecond })
		for i, tick := range got {
			if want := got[0].Time.Add(time.Duration(i) * time.Second); !tick.Time.Equal(want) || tick.Seq != uint64(i+1) || tick.Missed != 0 {
				t.Fatalf("tick %d: %+v, want %v", i, tick, want)
			}
			if tick.Time.Nanosecond() != 0 {
				t.Fatalf("%v is no multiple of a second", tick.Time)
			}
		}
	})
}

func TestMissedTicksAreCountedAndNotBunched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := ticks(t, time.Second, 4, func(i int) time.Duration {
			if i == 2 {
				return 3500 * time.Millisecond
			}
			return 0
		})
		if got[2].Missed != 3 || got[2].Seq != 6 || got[3].Seq != 7 || got[3].Missed != 3 {
			t.Errorf("%+v", got)
		}
		if d := got[2].Time.Sub(got[1].Time); d != 4*time.Second {
			t.Errorf("the tick after the gap came %v later, want 4s", d)
		}
	})
}

func TestEndOfContextIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		n := 0
		if err := Run(ctx, time.Second, func([]byte) error { n++; return nil }); err != nil || n != 3 {
			t.Errorf("%d ticks, %v; want 3", n, err)
		}
	})
}

// Whatever the clock does, a wait is short, ticks are multiples, and numbers only grow.
func TestAnyClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Hour)).Draw(t, "every"))
		now := time.Unix(0, rapid.Int64Range(1, 1<<61).Draw(t, "start"))
		var last Tick
		for range 20 {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(2*every), int64(5*every)).Draw(t, "jump")))
			if now.UnixNano() < 1 {
				return
			}
			if wait := Wait(last, now, every); wait <= 0 || wait > 2*every {
				t.Fatalf("waits %v of %v", wait, every)
			}
			tick := Next(last, now, every)
			if tick.Time.UnixNano()%int64(every) != 0 || tick.Seq <= last.Seq || tick.Missed < last.Missed {
				t.Fatalf("%+v after %+v", tick, last)
			}
			last = tick
		}
	})
}
