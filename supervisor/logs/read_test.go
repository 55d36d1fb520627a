package logs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

// reads is what a question for a desk's files, and its ring, is answered with.
func (d *desk) reads(q Query, withRing bool) []Line {
	d.writer.mu.Lock()
	d.writer.ended = true // nobody runs it: there is nothing to wait for
	d.writer.mu.Unlock()
	defer func() { d.writer.ended = false }()
	h := &shelf{ref: d.ref}
	if withRing {
		h.ring, h.seq, h.count = d.snapshot()
		h.from = rankLines(h.ring, time.Time{})
	}
	return slices.Collect((&Reader{lib: d.Library, q: q, shelves: []*shelf{h}}).Lines(d.Context()))
}

// Whatever was rotated, compressed and forgotten by memory: a question is answered as if all lines were in one list.
func TestRead(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		format := rapid.SampledFrom([]topology.LogFormat{topology.LogText, topology.LogJSON}).Draw(r, "format")
		d := newDesk(t, topology.Log{MaxSize: rapid.Int64Range(500, 5000).Draw(r, "max"), Keep: 1000, Format: format, Ring: 1024, Split: rapid.Bool().Draw(r, "split"),
			Compress: rapid.SampledFrom([]topology.LogCompress{topology.LogGzip, topology.LogPlain}).Draw(r, "compress")})
		d.writer.archive.begin(t.Context())
		defer d.writer.archive.wait()
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
		var all []Line
		for n := range rapid.IntRange(0, 120).Draw(r, "lines") {
			at = at.Add(time.Duration(random.IntN(5000)) * time.Millisecond)
			stream := []Stream{Stdout, Stderr}[random.IntN(2)]
			text := fmt.Sprint(n, strings.Repeat("é", random.IntN(60)))
			all = append(all, Line{Time: at, Ref: d.ref, Stream: stream, Text: text})
			d.say(at, stream, text)
			at = at.Add(1)
			if random.IntN(100) == 0 {
				d.writer.archive.look() // beside the readers
			}
		}
		for range 10 {
			q := Query{Newest: []int{-1, 0, 1, 10, 1000}[random.IntN(5)], Stream: []Stream{"", Stdout, Stderr}[random.IntN(3)]}
			moment := func() time.Time {
				if len(all) == 0 || random.IntN(3) == 0 {
					return time.Time{}
				}
				return all[random.IntN(len(all))].Time.Add(time.Duration(random.IntN(3)-1) * time.Second)
			}
			q.Since, q.Until = moment(), moment()
			if random.IntN(2) == 0 {
				q.Grep = regexp.MustCompile(fmt.Sprint(random.IntN(10)))
			}
			var want []string
			for _, l := range all {
				if q.takes(&l) {
					want = append(want, l.Text)
				}
			}
			if q.Newest >= 0 {
				want = want[max(len(want)-q.Newest, 0):]
			}
			for _, ring := range []bool{true, false} {
				var got []string
				for _, l := range d.reads(q, ring) {
					got = append(got, l.Text)
				}
				if !slices.Equal(got, want) {
					r.Fatalf("%+v ring %v:\n%d %q\n%d %q\n%q", q, ring, len(got), got, len(want), want, d.names())
				}
			}
		}
	})
}

// The clock is set forward and back while lines come: each is found by its time, once, in memory or in files; and the newest are those that
// were printed last, not those with the latest time.
func TestReadOverLeapsOfTheClock(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := newDesk(t, topology.Log{MaxSize: rapid.Int64Range(500, 50000).Draw(r, "max"), Keep: 1000, Ring: rapid.SampledFrom([]int{1024, 1 << 20}).Draw(r, "ring")})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
		used := make(map[int64]bool)
		var all []Line
		for n := range rapid.IntRange(1, 120).Draw(r, "lines") {
			at = at.Add(time.Duration(random.IntN(5000)+1) * time.Millisecond)
			switch random.IntN(20) {
			case 0:
				at = at.Add(time.Hour)
			case 1:
				at = at.Add(-time.Hour)
			case 2:
				at = at.Add(-30 * time.Second)
			}
			for used[at.UnixNano()] {
				at = at.Add(1)
			}
			used[at.UnixNano()] = true
			d.say(at, Stdout, fmt.Sprint(n))
			all = append(all, Line{Time: at, Text: fmt.Sprint(n)})
		}
		for range 10 {
			q := Query{Newest: -1}
			if random.IntN(2) == 0 {
				q.Since = all[random.IntN(len(all))].Time
			}
			if random.IntN(2) == 0 {
				q.Until = all[random.IntN(len(all))].Time
			}
			var want []string
			for _, l := range all {
				if q.takes(&l) {
					want = append(want, l.Text)
				}
			}
			slices.Sort(want)
			for _, ring := range []bool{true, false} {
				var got []string
				for _, l := range d.reads(q, ring) {
					got = append(got, l.Text)
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					r.Fatalf("%+v ring %v:\n%d %q\n%d %q\n%q", q, ring, len(got), got, len(want), want, d.names())
				}
			}
		}
		for _, n := range []int{1, 5} {
			for _, ring := range []bool{true, false} {
				got := d.reads(Query{Newest: n}, ring)
				for i, l := range got {
					if want := all[len(all)-len(got)+i].Text; l.Text != want || len(got) != min(n, len(all)) {
						r.Fatalf("the newest %d, ring %v: %q is not %q", n, ring, l.Text, want)
					}
				}
			}
		}
	})
}

// The time is found by halving: of a large file little is read.
func TestFindTime(t *testing.T) {
	var text []byte
	var st stamper
	start := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	const lines = 200000
	for n := range lines {
		text = appendText(text, &st, start.Add(time.Duration(n)*time.Second).UnixNano(), Stdout, []byte("line"))
		if n%100 == 0 {
			text = append(text, "somebody else's words\n"...)
		}
	}
	for _, n := range []int{0, 1, 777, lines / 2, lines - 1, lines} {
		r := &counted{Reader: bytes.NewReader(text)}
		at := findTime(r, int64(len(text)), start.Add(time.Duration(n)*time.Second))
		exact := int64(bytes.Index(text, st.append(nil, start.Add(time.Duration(n)*time.Second).UnixNano())))
		if n == lines {
			exact = int64(len(text))
		}
		if at > exact || exact-at > 3*longestLine || r.read > 40*readAhead {
			t.Errorf("line %d is at %d, found %d after reading %d bytes", n, exact, at, r.read)
		}
	}
}

type counted struct {
	*bytes.Reader
	read int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.read += n
	return n, err
}

// What others have done to the files harms nobody: what is no log is text, what is broken is left out and said.
func TestHostileFiles(t *testing.T) {
	d := newDesk(t, topology.Log{})
	d.say(morning, Stdout, "good")
	stamp := "20261123T070000.000000Z"
	for name, text := range map[string]string{
		"cpu.0.log." + stamp:                "no time at all\n" + strings.Repeat("x", 3*longestLine) + "\n\n\x00\xff\n{\"time\":\"2026-11-23T06:00:00.000000000Z\",\"text\":7}\nlast without end",
		"cpu.0.log." + stamp[:21] + "1Z.gz": "this is not gzip",
		"cpu.0.log.old":                     "2026-11-23T06:00:00.000000000Z out not ours\n",
		"cpu.00.log":                        "2026-11-23T06:00:00.000000000Z out not ours\n",
		"cpu.0.log.1":                       "2026-11-23T09:00:00.123+02:00 err as it was written by an earlier version\n",
	} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(d.dir, "cpu.0.log.2"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, q := range []Query{{Newest: -1}, {Newest: 100}} {
		lines := d.reads(q, true)
		var short []string
		for _, l := range lines {
			short = append(short, l.Text[:min(len(l.Text), 20)])
			if len(l.Text) > longestLine+readAhead {
				t.Errorf("a line of %d bytes", len(l.Text))
			}
		}
		all := strings.Join(short, "|")
		for _, want := range []string{"no time at all", "xxxxxxxx", "\x00\xff", "last without end", "as it was written by", "good"} {
			if !strings.Contains(all, want) {
				t.Errorf("%d: %q is missing in %q", q.Newest, want, all)
			}
		}
		if strings.Contains(all, "not ours") || lines[len(lines)-1].Text != "good" {
			t.Errorf("%q", all)
		}
	}
	if !strings.Contains(d.said.String(), "cannot read a log file to its end") {
		t.Error(d.said)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"cpu.0.log": true, "cpu.12.err.log": true, "a-b_c.0.log.1": true, "cpu.0.log.3.gz": true, "cpu.0.log.20261123T070000.000000Z.gz": true,
		"cpu.log": false, "cpu.-1.log": false, "cpu.01.log": false, ".0.log": false, "cpu.0.logx": false, "cpu.0.log.": false, "cpu.0.log.gz": false,
		"cpu.0.log.20261123T070000Z": false, "cpu.0.log.99999": false, "cpu.0.log.1.tmp": false, "dsatd.log": false, "cpu.0.out.log": false,
	} {
		if _, ok := parseName(name); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("2026-11-23T20:30:15.123456789Z out text"))
	f.Add([]byte(`{"time":"2026-11-23T20:30:15.123456789Z","name":"cpu","wid":0,"incarnation":1,"stream":"stderr","text":"\u0000"}`))
	f.Add([]byte("2026-11-23T20:30:15.123+01:00 err text"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := parseLine(raw)
		if l.Stream != Stdout && l.Stream != Stderr {
			t.Fatalf("%+v", l)
		}
		text := bytes.ReplaceAll(raw, []byte{'\n'}, nil)
		for _, ns := range []int64{0, -1, 1795465815123456789} {
			var st stamper
			got := parseLine(bytes.TrimSuffix(appendText(nil, &st, ns, Stderr, text), []byte{'\n'}))
			if got.Time.UnixNano() != ns || got.Stream != Stderr || got.Text != string(text) {
				t.Fatalf("%+v", got)
			}
			got = parseLine(bytes.TrimSuffix(appendJSON(nil, &st, ns, &Origin{Stream: Stdout}, raw), []byte{'\n'}))
			if got.Time.UnixNano() != ns || got.Stream != Stdout || got.Text != strings.ToValidUTF8(string(raw), "\ufffd") && !strings.Contains(got.Text, "\ufffd") {
				t.Fatalf("%+v", got)
			}
		}
	})
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("2026-11-23T20:30:15.123456789Z out text\nx\n"), int64(3))
	f.Fuzz(func(t *testing.T, text []byte, from int64) {
		big := bytes.Repeat(append(text, '\n'), 1+(2*longestLine+100000)/(len(text)+1))
		at := findTime(bytes.NewReader(big), int64(len(big)), morning)
		if at < 0 || at > int64(len(big)) {
			t.Fatal(at)
		}
		want, got := bytes.Count(big, []byte{'\n'}), 0
		cut := int64(uint64(from) % uint64(len(big)))
		for _, part := range [][2]int64{{0, cut}, {cut, int64(len(big))}} {
			_ = between(bytes.NewReader(big), int64(len(big)), part[0], part[1], true, func(raw []byte) { got++ })
		}
		if len(text) < MaxLine && got != want {
			t.Fatalf("%d lines of %d", got, want)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add("cpu.0.log.20261123T070000.000000Z.gz")
	f.Fuzz(func(t *testing.T, name string) {
		if s, ok := parseName(name); ok && !strings.HasPrefix(name, s.base) {
			t.Fatalf("%+v", s)
		}
	})
}
