package journal_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/journal/frail"
)

// place is where a record lies.
type place struct {
	path     string
	from, to int64 // head and body
	body     string
}

// small writes a log of a few segments on a disk and returns where its records are. In order means that it was closed.
func small(t testing.TB, inOrder bool) (*frail.Disk, map[uint64]place) {
	t.Helper()
	disk := frail.New(1)
	committed := make(chan uint64, 1000)
	l, err := journal.Open(dir, journal.Options{Segment: 4096, FS: disk, Committed: func(seq uint64) { committed <- seq }})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Replay(func(journal.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	bodies, at := map[uint64]string{}, map[uint64]journal.Position{}
	for i := range 24 {
		var seq uint64
		for j := range 1 + i%3 {
			body := strings.Repeat(string(rune('a'+i)), 1+(i*37+j*11)%190)
			var p journal.Position
			seq, p = l.Append(uint8(i), []byte(body))
			bodies[seq], at[seq] = body, p
		}
		l.Flush()
		for <-committed < seq {
		}
	}
	if inOrder {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	} else {
		disk.CrashAfter(0)
		_ = l.Close()
		disk.Reboot(false)
	}
	return disk, places(t, disk, bodies, at)
}

func places(t testing.TB, disk *frail.Disk, bodies map[uint64]string, at map[uint64]journal.Position) map[uint64]place {
	t.Helper()
	m := map[uint64]place{}
	paths := segments(disk)
	if len(paths) < 2 {
		t.Fatalf("a log of %v tells little", paths)
	}
	for seq, p := range at {
		for _, path := range paths {
			var number, base int64
			if _, err := fmt.Sscanf(filepath.Base(path), "%x-%x.seg", &number, &base); err != nil {
				t.Fatal(err)
			}
			if int64(p) >= base {
				from := int64(p) - base + 64
				m[seq] = place{path, from, from + 32 + int64(len(bodies[seq])), bodies[seq]}
			}
		}
	}
	return m
}

func segments(d *frail.Disk) []string {
	return slices.DeleteFunc(d.Files(), func(p string) bool {
		return filepath.Dir(p) != dir || !strings.HasSuffix(p, ".seg")
	})
}

// served opens a log twice and returns what it serves; it must be the same again, and after a release the evidence must stay.
func served(t testing.TB, disk *frail.Disk) (map[uint64]string, journal.Report) {
	t.Helper()
	got, report := once(t, disk)
	again, _ := once(t, disk)
	if fmt.Sprint(got) != fmt.Sprint(again) {
		t.Fatalf("the second time %d records are served instead of %d", len(again), len(got))
	}
	return got, report
}

func once(t testing.TB, disk *frail.Disk) (map[uint64]string, journal.Report) {
	t.Helper()
	l, err := journal.Open(dir, journal.Options{Segment: 4096, FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint64]string{}
	var last uint64
	if err := l.Replay(func(r journal.Record) error {
		if r.Seq <= last {
			t.Fatalf("record %d after %d", r.Seq, last)
		}
		last, got[r.Seq] = r.Seq, string(r.Body)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r := l.Report()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return got, r
}

// check compares what is served with what may be lost.
func check(t *testing.T, what string, disk *frail.Disk, all map[uint64]place, mayLose func(place) bool) {
	t.Helper()
	got, report := served(t, disk)
	lost := 0
	for seq, p := range all {
		body, ok := got[seq]
		switch {
		case ok && body != p.body:
			t.Fatalf("%s: record %d is %q instead of %q", what, seq, body, p.body)
		case !ok && !mayLose(p):
			t.Fatalf("%s: record %d at %s %d is intact and not served: %+v", what, seq, p.path, p.from, report)
		case !ok:
			lost++
		}
	}
	for seq := range got {
		if _, ok := all[seq]; !ok {
			t.Fatalf("%s: record %d was invented", what, seq)
		}
	}
	if lost > 0 && report.Clean() && report.Torn == 0 {
		t.Fatalf("%s: %d records are lost and the report says nothing: %+v", what, lost, report)
	}
	for _, d := range report.Damage {
		if !strings.HasPrefix(d.Aside, dir+"/aside/") || strings.Contains(d.Aside, "failed") || !slices.Contains(disk.Files(), d.Aside) {
			t.Fatalf("%s: the evidence is not kept: %+v; %v", what, d, disk.Files())
		}
	}
}

// A bit that is wrong, anywhere, costs the record it is in and no other, and the report says so.
func TestFlips(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		disk, all := small(t, inOrder)
		for _, path := range segments(disk) {
			for off := int64(0); ; off++ {
				c, inside := disk.Clone(uint64(off)), true
				c.Damage(path, func(b []byte) []byte {
					if inside = off < int64(len(b)); inside {
						b[off] ^= 1 << (off % 8)
					}
					return b
				})
				if !inside {
					break
				}
				check(t, fmt.Sprintf("in order %v: bit %d of byte %d of %s", inOrder, off%8, off, path), c, all, func(p place) bool {
					return p.path == path && p.from <= off && off < p.to
				})
			}
		}
	}
}

// A segment that ends too early, anywhere, serves what is whole in it, and the others serve all.
func TestTruncations(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		disk, all := small(t, inOrder)
		for _, path := range segments(disk) {
			for off := int64(0); ; off++ {
				c, inside := disk.Clone(uint64(off)), true
				c.Damage(path, func(b []byte) []byte {
					if inside = off < int64(len(b)); inside {
						b = b[:off]
					}
					return b
				})
				if !inside {
					break
				}
				check(t, fmt.Sprintf("in order %v: %s cut to %d bytes", inOrder, path, off), c, all, func(p place) bool {
					return p.path == path && off < (p.to+7)&^7
				})
			}
		}
	}
}

// A run of garbage (a lost sector, a page of another file) costs what it covers.
func TestGarbage(t *testing.T) {
	disk, all := small(t, true)
	other, _ := small(t, true)
	for _, path := range segments(disk) {
		for off := int64(0); ; off += 24 {
			for _, n := range []int64{8, 100, 512, 2000} {
				c, inside := disk.Clone(uint64(off)), true
				c.Damage(path, func(b []byte) []byte {
					inside = off < int64(len(b))
					for i := off; i < min(off+n, int64(len(b))); i++ {
						b[i] = byte(i * 7 >> (n % 3))
					}
					return b
				})
				if !inside {
					break
				}
				check(t, fmt.Sprintf("%d bytes at %d of %s", n, off, path), c, all, func(p place) bool {
					return p.path == path && p.from < off+n && off < p.to
				})
			}
			if off > 8000 {
				break
			}
		}
	}
	_ = other
}

// The head of the log is made good from its segments; one of another format is refused with words that help.
func TestIdentity(t *testing.T) {
	disk, all := small(t, true)
	path := dir + "/journal"
	var text []byte
	disk.Damage(path, func(b []byte) []byte { text = slices.Clone(b); return b })
	for off := range text {
		c := disk.Clone(uint64(off))
		c.Damage(path, func(b []byte) []byte { b[off] ^= 1; return b })
		check(t, fmt.Sprintf("byte %d of the head", off), c, all, func(place) bool { return false })
		c = disk.Clone(uint64(off))
		c.Damage(path, func(b []byte) []byte { return b[:off] })
		check(t, fmt.Sprintf("head cut to %d bytes", off), c, all, func(place) bool { return false })
	}
	c := disk.Clone(1)
	c.Damage(path, func([]byte) []byte { return []byte(journal.FormatText(2, 7)) })
	_, err := journal.Open(dir, journal.Options{FS: c})
	var v *journal.VersionError
	if !errors.As(err, &v) || v.Version != 2 || !strings.Contains(err.Error(), "dsatctl queue drain") {
		t.Fatalf("a log of format 2: %v", err)
	}
}
