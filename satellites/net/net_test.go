package net

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/satellites/probe"
)

const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
  eth0:167877536   12211    1    2    0     0          0         0  1056867    9785    3    4    0     0       0          0
`

func TestSamples(t *testing.T) {
	now := text
	measure := New(Options{Interfaces: []string{"eth0"}}, func(string) ([]byte, error) { return []byte(now), nil })
	tick, start := probe.Tick{Seq: 1, Time: time.Unix(1, 0)}, time.Unix(1, 0)
	first, err := measure(tick, start)
	if err != nil {
		t.Fatal(err)
	}
	want := Sample{
		Tick: tick, Interface: "eth0", RxBytes: 167877536, RxPackets: 12211, RxErrors: 1, RxDrops: 2,
		TxBytes: 1056867, TxPackets: 9785, TxErrors: 3, TxDrops: 4,
	}
	if diff := cmp.Diff([]any{want}, first); diff != "" {
		t.Error(diff)
	}
	now = strings.NewReplacer("167877536", "167879536", "1056867", "1").Replace(now)
	second, err := measure(tick, start.Add(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	want.RxBytes, want.TxBytes, want.RxRate, want.TxRate = 167879536, 1, 1000, 0 // sent was reset
	if diff := cmp.Diff([]any{want}, second); diff != "" {
		t.Error(diff)
	}
}

func TestAllInterfacesInOrder(t *testing.T) {
	got, err := New(Options{}, func(string) ([]byte, error) { return []byte(text), nil })(probe.Tick{}, time.Time{})
	var names []string
	for _, s := range got {
		names = append(names, s.(Sample).Interface)
	}
	if diff := cmp.Diff([]string{"eth0", "eth0:1", "lo"}, names); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestOptions(t *testing.T) {
	if _, err := Parse(map[string]any{"interfaces": []any{"eth*", "lo"}}); err != nil {
		t.Error(err)
	}
	if _, err := Parse(map[string]any{"interfaces": []any{"eth["}}); err == nil {
		t.Error("a broken glob was taken")
	}
	if _, err := Parse(map[string]any{"interface": "eth0"}); err == nil {
		t.Error("an unknown option was taken")
	}
}

func FuzzParseDev(f *testing.F) {
	f.Add([]byte(text))
	f.Add([]byte("eth0: 1 2 3"))
	f.Add([]byte("eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := ParseDev(text)
		if err != nil && !strings.HasPrefix(err.Error(), "cannot ") {
			t.Error(err)
		}
		for name := range all {
			if !strings.Contains(string(text), name) {
				t.Errorf("invented %q", name)
			}
		}
	})
}
