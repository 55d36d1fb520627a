package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

// desk is a book that is written without goroutines, one flush at a time.
type desk struct {
	*testing.T
	*Library
	*Book
	dir  string
	said *bytes.Buffer
}

func newDesk(t *testing.T, l topology.Log) *desk {
	d := &desk{T: t, dir: filepath.Join(t.TempDir(), "log"), said: &bytes.Buffer{}}
	d.Library = New(slog.New(slog.NewTextHandler(d.said, nil)), d.dir, 0)
	if l.To == nil {
		l.To = []topology.LogSink{topology.LogFile}
	}
	if l.Ring == 0 {
		l.Ring = 4096
	}
	d.Book = d.Library.Book(topology.Ref{Name: "cpu"}, &l)
	return d
}

func lostOf(d *desk) uint64 {
	n, _ := d.Lost()
	return n
}

func (d *desk) say(at time.Time, s Stream, texts ...string) {
	var lines [][]byte
	for _, t := range texts {
		lines = append(lines, []byte(t))
	}
	d.Append(at, Origin{Inc: 7, Stream: s}, true, lines)
	d.writer.flush()
}

func (d *desk) names() []string {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (d *desk) read(name string) string {
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			d.Fatal(err)
		}
		if text, err = io.ReadAll(z); err != nil {
			d.Fatal(err)
		}
	}
	return string(text)
}

var morning = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func TestFormats(t *testing.T) {
	d := newDesk(t, topology.Log{})
	d.say(morning, Stdout, "a", "\x00\xff b\r c")
	d.say(morning, Stderr, "")
	want := "2026-11-23T08:00:00.000000000Z out a\n2026-11-23T08:00:00.000000001Z out \x00\xff b\r c\n2026-11-23T08:00:00.000000002Z err \n"
	if got := d.read("cpu.0.log"); got != want {
		t.Errorf("%q", got)
	}
	d = newDesk(t, topology.Log{Format: topology.LogJSON, Split: true})
	d.say(morning, Stdout, "a \"\\\x00\xff\t\r\x1b é")
	d.say(morning, Stderr, "b")
	want = `{"time":"2026-11-23T08:00:00.000000000Z","name":"cpu","wid":0,"incarnation":7,"stream":"stdout","text":"a \"\\\u0000` + "\ufffd" + `\t\r\u001b é"}` + "\n"
	if got := d.read("cpu.0.log"); got != want {
		t.Errorf("%q", got)
	}
	if got := d.read("cpu.0.err.log"); !strings.Contains(got, `"stream":"stderr","text":"b"}`) {
		t.Errorf("%q", got)
	}
}

// Lines are never torn, files never larger than they may be, and the newest are kept in the order of their names.
func TestRotationBySize(t *testing.T) {
	d := newDesk(t, topology.Log{MaxSize: 100, Keep: 2})
	for n := range 20 {
		d.say(morning, Stdout, fmt.Sprintf("%02d %s", n, strings.Repeat("x", n%3*10)), "", strings.Repeat("y", 7))
	}
	if err := d.writer.archive.round(time.Now()); err != nil {
		t.Fatal(err)
	}
	names := d.names()
	if len(names) != 3 || names[0] != "cpu.0.log" {
		t.Fatalf("%q", names)
	}
	all := d.read(names[1]) + d.read(names[2]) + d.read(names[0])
	for _, name := range names {
		if text := d.read(name); len(text) > 100 || !strings.HasSuffix(text, "\n") {
			t.Errorf("%s: %q", name, text)
		}
	}
	if lines := strings.Split(strings.TrimSpace(all), "\n"); !slices.IsSorted(lines) || !strings.HasSuffix(all, "yyyyyyy\n") {
		t.Errorf("%q", lines)
	}
	d = newDesk(t, topology.Log{MaxSize: 100})
	d.say(morning, Stdout, strings.Repeat("z", 300), "end")
	if names := d.names(); len(names) != 1 || !strings.HasSuffix(d.read(names[0]), "out end\n") {
		t.Errorf("nothing is kept: %q", names)
	}
}

func TestRotationByTime(t *testing.T) {
	zone := time.FixedZone("half", 5*3600+1800)
	for _, c := range []struct {
		rule      topology.LogRotate
		first, at string
		want      bool
	}{
		{topology.LogRotate{}, "2026-11-23T08:00:00Z", "2027-11-23T08:00:00Z", false},
		{topology.LogRotate{Every: time.Hour}, "2026-11-23T08:00:00Z", "2026-11-23T08:59:59Z", false},
		{topology.LogRotate{Every: time.Hour}, "2026-11-23T08:00:00Z", "2026-11-23T09:00:00Z", true},
		{topology.LogRotate{Every: time.Hour}, "2026-11-23T08:00:00Z", "2026-11-23T07:00:00Z", false}, // the clock went back
		{topology.LogRotate{Calendar: "daily"}, "2026-11-23T18:29:59Z", "2026-11-23T18:30:00Z", true},
		{topology.LogRotate{Calendar: "daily"}, "2026-11-23T18:30:00Z", "2026-11-24T18:29:59Z", false},
		{topology.LogRotate{Calendar: "hourly"}, "2026-11-23T18:29:59Z", "2026-11-23T18:30:00Z", true},
		{topology.LogRotate{Calendar: "hourly"}, "2026-11-23T18:30:00Z", "2026-11-23T19:29:59Z", false},
		{topology.LogRotate{Calendar: "hourly"}, "2026-11-23T18:30:00Z", "2026-11-22T18:30:00Z", false},
	} {
		at := func(s string) time.Time {
			v, err := time.Parse(time.RFC3339, s)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if got := due(c.rule, at(c.first), at(c.at), zone); got != c.want {
			t.Errorf("%+v %s %s: %v", c.rule, c.first, c.at, got)
		}
	}
	d := newDesk(t, topology.Log{Rotate: topology.LogRotate{Every: time.Hour}, Keep: 9})
	for n := range 5 {
		d.say(morning.Add(time.Duration(n)*20*time.Minute), Stdout, fmt.Sprint(n))
	}
	d.writer.closeAll() // the time of the first line is in the file
	d.say(morning.Add(2*time.Hour), Stdout, "5")
	if names := d.names(); len(names) != 3 || strings.Count(d.read(names[1]), "\n") != 3 || strings.Count(d.read(names[2]), "\n") != 2 {
		t.Errorf("%q", names)
	}
}

// Whatever the rotations, every line is in exactly one file, whole, and in order.
func TestNoLineIsLostByRotation(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := newDesk(t, topology.Log{MaxSize: rapid.Int64Range(50, 500).Draw(r, "max"), Keep: 1000, Rotate: topology.LogRotate{Every: time.Minute}})
		at, n := morning, 0
		var want []string
		for range rapid.IntRange(1, 20).Draw(r, "batches") {
			var texts []string
			for range rapid.IntRange(1, 10).Draw(r, "lines") {
				texts = append(texts, fmt.Sprint(n, strings.Repeat("-", rapid.IntRange(0, 120).Draw(r, "size"))))
				n++
			}
			want = append(want, texts...)
			at = at.Add(time.Duration(rapid.IntRange(0, 90).Draw(r, "seconds")) * time.Second)
			d.say(at, Stdout, texts...)
			if rapid.IntRange(0, 3).Draw(r, "reopen") == 0 {
				d.writer.closeAll()
			}
		}
		var got []string
		names := d.names()
		for _, name := range append(names[1:], names[0]) {
			for line := range strings.Lines(d.read(name)) {
				got = append(got, line[textHead:len(line)-1])
			}
		}
		if !slices.Equal(got, want) {
			r.Fatalf("%q\n%q", got, want)
		}
	})
}

// A disk that is full, or a directory that is none, is said once, counted, and got over.
func TestFileThatCannotBeWritten(t *testing.T) {
	d := newDesk(t, topology.Log{MaxSize: 1000, Keep: 1})
	if err := os.WriteFile(d.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d.say(morning, Stdout, "a", "b")
	}
	if lostOf(d) != 6 || strings.Count(d.said.String(), "cannot write") != 1 {
		t.Fatalf("%d lost: %s", lostOf(d), d.said)
	}
	if err := os.Remove(d.dir); err != nil {
		t.Fatal(err)
	}
	d.say(morning, Stdout, "c", "d")
	if lostOf(d) != 6 || strings.Count(d.said.String(), "the log file can be written again") != 1 || strings.Count(d.read("cpu.0.log"), "\n") != 2 {
		t.Fatalf("%d lost: %s", lostOf(d), d.said)
	}
}

// What a full disk has torn is taken back, so that the next line begins a line.
func TestTornLines(t *testing.T) {
	d := newDesk(t, topology.Log{})
	full := d.writer.file("/dev/full", &topology.Log{})
	d.writer.put(full, 1, &Origin{Stream: Stdout}, [][]byte{[]byte("a"), []byte("b")})
	d.writer.flush()
	if full.lost.Load() != 2 {
		t.Errorf("%d lost", full.lost.Load())
	}
	d.say(morning, Stdout, "whole")
	f := d.fileOf(Stdout)
	if _, err := f.f.WriteString("half a li"); err != nil {
		t.Fatal(err)
	}
	before := f.size
	if n := f.mend([]byte("half a li")); n != 0 || f.size != before {
		t.Error(n)
	}
	d.say(morning, Stdout, "next")
	if got := d.read("cpu.0.log"); strings.Count(got, "\n") != 2 || strings.Contains(got, "half") {
		t.Errorf("%q", got)
	}
	_, _ = f.f.WriteString("torn by a crash")
	d.writer.closeAll()
	d.say(morning, Stdout, "after it")
	if got := d.read("cpu.0.log"); !strings.Contains(got, "torn by a crash\n") || strings.Count(got, "\n") != 4 {
		t.Errorf("%q", got)
	}
}

// Somebody else moves, removes or cuts the file.
func TestFileMovedByOthers(t *testing.T) {
	d := newDesk(t, topology.Log{MaxSize: 1 << 20, Keep: 3})
	path := filepath.Join(d.dir, "cpu.0.log")
	late := func() { d.fileOf(Stdout).looked = time.Time{} }
	d.say(morning, Stdout, "one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	late()
	d.say(morning, Stdout, "two")
	if got := d.read("cpu.0.log"); strings.Count(got, "\n") != 1 || !strings.Contains(got, "two") {
		t.Errorf("%q", got)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	late()
	d.say(morning, Stdout, "three")
	if got := d.read("cpu.0.log"); !strings.HasPrefix(got, "2026") || d.fileOf(Stdout).size != int64(len(got)) {
		t.Errorf("%q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	d.writer.again()
	d.say(morning, Stdout, "four")
	if got := d.read("cpu.0.log"); !strings.Contains(got, "four") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}

func TestBuffersAreBounded(t *testing.T) {
	d := newDesk(t, topology.Log{})
	quiet := d.writer.file(filepath.Join(d.dir, "quiet.0.log"), &topology.Log{})
	line := [][]byte{bytes.Repeat([]byte("x"), 32<<10)}
	for range 1000 {
		d.Append(morning, Origin{Stream: Stdout}, true, line)
	}
	if d.writer.held > writeBuffer || lostOf(d) < 700 {
		t.Errorf("%d bytes are held, %d lines lost", d.writer.held, lostOf(d))
	}
	d.writer.put(quiet, 1, &Origin{Stream: Stdout}, [][]byte{[]byte("x")})
	if quiet.lost.Load() != 0 {
		t.Error("a flood took the room of the others")
	}
	freed := 0
	if !d.writer.crowded(d.fileOf(Stdout), func() { freed++ }) {
		t.Error("nobody would wait")
	}
	d.writer.flush()
	if d.writer.held != 0 || freed != 1 {
		t.Errorf("%d bytes are held, freed %d", d.writer.held, freed)
	}
}

func TestArchive(t *testing.T) {
	d := newDesk(t, topology.Log{MaxSize: 100, Keep: 5, Compress: topology.LogGzip})
	for n := range 30 {
		d.say(morning, Stdout, fmt.Sprint("line ", n))
	}
	left := filepath.Join(d.dir, "cpu.0.log.20261123T080000.000000Z.gz.tmp")
	foreign := filepath.Join(d.dir, "notes.gz.tmp")
	for _, path := range []string{left, foreign} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := d.writer.archive
	ctx, cancel := context.WithCancel(t.Context())
	a.begin(ctx)
	a.look()
	a.wait()
	names := d.names()
	if len(names) != 7 || names[6] != "notes.gz.tmp" {
		t.Fatalf("%q", names)
	}
	var all string
	for _, name := range append(names[1:6:6], names[0]) {
		all += d.read(name)
	}
	if got := strings.Count(all, "\n"); got < 11 || !strings.HasSuffix(all, "line 29\n") {
		t.Errorf("%d lines: %q", got, all)
	}
	cancel()
	if err := a.compress(filepath.Join(d.dir, "cpu.0.log"), morning); err == nil {
		t.Error("compressed after the end")
	}
	if !slices.Equal(d.names(), names) {
		t.Errorf("an end in between left %q", d.names())
	}
}

func TestCondemned(t *testing.T) {
	now := morning.Add(24 * time.Hour)
	seg := func(name string, hour int, size int64) segment {
		s, ok := parseName(name)
		if !ok {
			t.Fatal(name)
		}
		s.end, s.size = morning.Add(time.Duration(hour)*time.Hour), size
		return s
	}
	all := []segment{
		seg("a.0.log.1", 1, 10), seg("a.0.log.2", 2, 10), seg("a.0.log.3", 3, 10), seg("a.0.log", 24, 10),
		seg("a.1.log.1", 2, 10), seg("a.1.log", 24, 10),
		seg("gone.0.log.1", 4, 100), seg("gone.0.log", 5, 100),
	}
	for _, c := range []struct {
		rule  topology.Log
		total int64
		want  string
	}{
		{topology.Log{Keep: 3}, 0, ""},
		{topology.Log{Keep: 1}, 0, "a.0.log.1 a.0.log.2"},
		{topology.Log{Keep: 3, MaxAge: 22*time.Hour - time.Minute}, 0, "a.0.log.1 a.0.log.2 a.1.log.1"},
		{topology.Log{Keep: 3, Total: 45}, 0, "a.0.log.1 a.0.log.2"},
		{topology.Log{Keep: 3, Total: 1}, 0, "a.0.log.1 a.0.log.2 a.1.log.1 a.0.log.3"},
		{topology.Log{Keep: 3}, 245, "a.0.log.1 a.0.log.2"},
		{topology.Log{Keep: 3}, 1, "a.0.log.1 a.0.log.2 a.1.log.1 a.0.log.3 gone.0.log.1"},
	} {
		var got []string
		for _, s := range condemn(all, map[string]*topology.Log{"a.0.log": &c.rule, "a.1.log": &c.rule}, c.total, now) {
			got = append(got, s.name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v total %d: %q", c.rule, c.total, got)
		}
	}
}

// A clock that goes back makes no name that sorts before another.
func TestRotatedNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.0.log")
	last := ""
	for n := range 10 {
		name, err := rotatedName(path, morning.Add(-time.Duration(n)*time.Hour))
		if err != nil || name <= last || os.WriteFile(name, nil, 0o600) != nil {
			t.Fatal(name, last, err)
		}
		last = name
	}
	all, err := listFiles(filepath.Dir(path))
	if err != nil || len(all) != 10 || !all[0].end.Equal(morning) {
		t.Fatal(err, all)
	}
}

// Age is looked at without a line being written.
func TestAgeIsLookedAtEveryHour(t *testing.T) {
	d := newDesk(t, topology.Log{MaxAge: 24 * time.Hour, Keep: 9})
	if err := os.MkdirAll(d.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWriter(slog.New(slog.DiscardHandler), d.dir, 0)
		w.file(filepath.Join(d.dir, "cpu.0.log"), &topology.Log{MaxAge: 24 * time.Hour, Keep: 9})
		old := filepath.Join(d.dir, "cpu.0.log."+time.Now().Add(-22*time.Hour-30*time.Minute).UTC().Format(rotatedLayout))
		if err := os.WriteFile(old, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.run(ctx); close(done) }()
		time.Sleep(time.Hour + time.Minute)
		w.archive.wait()
		if _, err := os.Stat(old); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		w.archive.wait()
		if _, err := os.Stat(old); err == nil {
			t.Error("it is still there")
		}
		cancel()
		<-done
	})
}
