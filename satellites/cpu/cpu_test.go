package cpu

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/satellites/probe"
)

const stat = `cpu  %d 0 4696 107471 315 0 58 14 0 0
cpu0 7059 0 2113 54319 32 0 16 5 0 0
cpu1 7395 0 2583 53152 283 0 41 8 0 0
intr 498565 0 0
ctxt 1
`

func world(load, stat string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		switch path {
		case "/proc/loadavg":
			return []byte(load), nil
		case "/proc/stat":
			return []byte(stat), nil
		}
		return nil, errors.New("no such file")
	}
}

func TestSample(t *testing.T) {
	tick := probe.Tick{Seq: 7, Time: time.Unix(100, 0)}
	user := 14454
	read := func(path string) ([]byte, error) {
		return world("0.50 0.24 0.19 1/89 13106\n", fmt.Sprintf(stat, user))(path)
	}
	measure := New(read)
	if _, err := measure(tick, tick.Time); err != nil {
		t.Fatal(err)
	}
	user += 50
	got, err := measure(tick, tick.Time)
	if err != nil {
		t.Fatal(err)
	}
	want := []any{Sample{Tick: tick, Load1: 0.5, Load5: 0.24, Load15: 0.19, User: 100, NCPU: 2, Running: 1, Threads: 89}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, _ = measure(tick, tick.Time); got[0].(Sample).Idle != 100 {
		t.Errorf("no time passed: %+v", got)
	}
}

func TestBadTexts(t *testing.T) {
	good := fmt.Sprintf(stat, 1)
	for name, read := range map[string]func(string) ([]byte, error){
		"empty load":   world("", good),
		"bad load":     world("x 0 0 1/2 3", good),
		"nan":          world("NaN 0 0 1/2 3", good),
		"bad counts":   world("0 0 0 1-2 3", good),
		"empty stat":   world("0 0 0 1/2 3", ""),
		"bad stat":     world("0 0 0 1/2 3", "cpu  1 x 3"),
		"unreadable":   func(string) ([]byte, error) { return nil, os.ErrPermission },
		"only of cpu0": world("0 0 0 1/2 3", "cpu0 1 2 3"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(read)(probe.Tick{}, time.Time{}); err == nil || !strings.HasPrefix(err.Error(), "cannot ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(stat, 3)), []byte("0.00 0.24 0.19 1/89 13106"))
	f.Fuzz(func(t *testing.T, stat, load []byte) {
		if times, err := ParseStat(stat); err == nil {
			s := times.Since(Times{})
			if sum := s.User + s.System + s.Idle + s.IOWait + s.IRQ + s.Steal; sum < 99.5 || sum > 100.5 {
				t.Errorf("%+v sums up to %v", s, sum)
			}
		}
		if l, err := ParseLoad(load); err == nil && l.One < 0 {
			t.Errorf("%+v", l)
		}
	})
}
