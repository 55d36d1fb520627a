package journal_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/journal/frail"
)

func contents(t testing.TB, disk journal.FS, dir string) map[uint64]string {
	t.Helper()
	l, err := journal.Open(dir, journal.Options{Segment: 4096, FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint64]string{}
	if err := l.Replay(func(r journal.Record) error {
		got[r.Seq] = string(r.Body)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if r := l.Report(); !r.Clean() || r.Torn != 0 || r.Tail != 0 {
		t.Fatalf("%+v", r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return got
}

// Verify finds every flipped bit, changes nothing, and counts what is there.
func TestVerify(t *testing.T) {
	disk, all := small(t, true)
	v, err := journal.Verify(context.Background(), dir, disk)
	if err != nil || !v.Sound() || v.Records != uint64(len(all)) || v.First != 1 || v.Last != uint64(len(all)) || v.Torn != 0 {
		t.Fatalf("%+v %v", v, err)
	}
	for _, path := range segments(disk) {
		for off := 0; ; off++ {
			c, inside := disk.Clone(1), true
			c.Damage(path, func(b []byte) []byte {
				if inside = off < len(b); inside {
					b[off] ^= 1 << (off % 8)
				}
				return b
			})
			if !inside {
				break
			}
			before := fmt.Sprint(c.Files())
			v, err := journal.Verify(context.Background(), dir, c)
			if err != nil || v.Sound() && v.Torn == 0 {
				t.Fatalf("byte %d of %s: %+v %v", off, path, v, err)
			}
			if after := fmt.Sprint(c.Files()); before != after {
				t.Fatalf("verify changed files: %s, %s", before, after)
			}
		}
	}
}

// A log is verified and copied while it is written; the copy holds what was committed when it began, and opens as one that was
// closed. What a copy shares with the log does not change with it.
func TestBackupOfALiveLog(t *testing.T) {
	for _, links := range []float64{0, 1} { // 1: the file system has no links
		disk := frail.New(1)
		committed := make(chan uint64, 1000)
		l, err := journal.Open(dir, journal.Options{Segment: 4096, FS: disk, Committed: func(seq uint64) { committed <- seq }})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Replay(func(journal.Record) error { return nil }); err != nil {
			t.Fatal(err)
		}
		disk.SetFaults(frail.Faults{Link: links})
		want := map[uint64]string{}
		for i := range 8 {
			var seq uint64
			for j := range 20 {
				body := strings.Repeat("x", i*j)
				seq, _ = l.Append(1, []byte(body))
				want[seq] = body
			}
			l.Flush()
			for <-committed < seq {
			}
			l.Append(2, []byte("not flushed")) // may be in it or not
			want[seq+1] = "not flushed"
			c, err := l.Backup(context.Background(), fmt.Sprintf("/backup/%d", i))
			if err != nil || c.Last < seq || c.Segments == 0 || links == 1 && c.Linked > 0 || links == 0 && i > 2 && c.Linked == 0 {
				t.Fatalf("%+v %v", c, err)
			}
			if v, err := l.Verify(context.Background()); err != nil || !v.Sound() || v.Last < seq {
				t.Fatalf("%+v %v", v, err)
			}
			want = trimmed(want, c.Last)
			if got := contents(t, disk, c.Dir); !maps.Equal(got, want) {
				t.Fatalf("backup %d has %d records, want %d", i, len(got), len(want))
			}
			want[seq+1] = "not flushed"
		}
		l.Release(l.Committed())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, disk, "/backup/7"); len(got) < 160 {
			t.Fatalf("the backup has shrunk with its log to %d records", len(got))
		}
	}
}

func trimmed(m map[uint64]string, last uint64) map[uint64]string {
	c := maps.Clone(m)
	maps.DeleteFunc(c, func(seq uint64, _ string) bool { return seq > last })
	return c
}

// On the real file system: a log in use is not verified from outside, a closed one is, and copied; a directory that has
// something in it is refused; what is no journal is told.
func TestUpkeepOnDisk(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	dir, to := filepath.Join(root, "journal"), filepath.Join(root, "copy")
	l, err := journal.Open(dir, journal.Options{Segment: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Replay(func(journal.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		l.Append(1, []byte(strings.Repeat("y", i%100)))
	}
	if _, err := journal.Verify(ctx, dir, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("verify of a log in use: %v", err)
	}
	if _, err := journal.Open(dir, journal.Options{}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("a second open: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := journal.Verify(ctx, dir, nil); err != nil || !v.Sound() || v.Records != 500 {
		t.Fatalf("%+v %v", v, err)
	}
	c, err := journal.Backup(ctx, dir, to, nil)
	if err != nil || c.Last != 500 {
		t.Fatalf("%+v %v", c, err)
	}
	if got := contents(t, nil, to); len(got) != 500 {
		t.Fatalf("the copy has %d records", len(got))
	}
	if _, err := journal.Backup(ctx, dir, to, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Fatalf("a second backup to the same place: %v", err)
	}
	if _, err := journal.Verify(ctx, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "not a journal") {
		t.Fatalf("verify of another directory: %v", err)
	}
	if names, err := os.ReadDir(filepath.Join(dir, "aside")); err != nil || len(names) > 0 {
		t.Fatalf("%v %v", names, err)
	}
}
