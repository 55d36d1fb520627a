package journal_test

import (
	"bytes"
	"testing"

	"github.com/dsat/dsat/bus/journal"
)

// FuzzRecovery opens a log one of whose segments is arbitrary bytes. It must not panic, serves only records that were written,
// in order, serves all of the other segments, and serves the same when it is opened again.
func FuzzRecovery(f *testing.F) {
	disk, all := small(f, true)
	paths := segments(disk)
	for i, path := range paths {
		disk.Damage(path, func(b []byte) []byte {
			f.Add(i, bytes.Clone(b))
			f.Add(i, bytes.Clone(b[:len(b)/2]))
			f.Add(i, append(bytes.Clone(b[:64]), b[96:]...))
			f.Add(i, append(bytes.Clone(b), b[64:]...))
			return b
		})
	}
	f.Add(0, []byte{})
	f.Add(1, []byte("DSATSEG\n"))
	f.Add(2, make([]byte, 4096))
	f.Fuzz(func(t *testing.T, which int, content []byte) {
		if which < 0 || which >= len(paths) {
			return
		}
		path := paths[which]
		c := disk.Clone(1)
		c.Damage(path, func([]byte) []byte { return bytes.Clone(content) })
		l, err := journal.Open(dir, journal.Options{Segment: 4096, FS: c})
		if err != nil {
			return // another format, another log: refused with words
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		got, _ := served(t, c)
		for seq, p := range all {
			if body, ok := got[seq]; ok && body != p.body {
				t.Fatalf("record %d is %q instead of %q", seq, body, p.body)
			} else if !ok && p.path != path {
				t.Fatalf("record %d of an intact segment is not served", seq)
			}
		}
		for seq := range got {
			if _, ok := all[seq]; !ok {
				t.Fatalf("record %d was invented", seq)
			}
		}
	})
}
