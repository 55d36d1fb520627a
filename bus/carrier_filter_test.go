package bus

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

func filterSat(speaks topology.Speaks, mode topology.Mode, to ...string) *topology.Satellite {
	s := sat("f", to...)
	s.Speaks, s.Mode = speaks, mode
	s.Work.InHand = 64
	return s
}

// program is the process's side of a filter.
type program struct {
	in  *bufio.Reader
	out *os.File
	raw *os.File
	ref topology.Ref
	inc topology.Incarnation
}

// spawnFilter gives the bus two pipes and returns their other ends.
func (s *served) spawnFilter() *program {
	s.t.Helper()
	ref, inc, _ := s.admit("f", 0)
	inR, inW := pipe(s.t)
	outR, outW := pipe(s.t)
	s.Spawned(ref, inc, 1, inW, outR)
	p := &program{bufio.NewReader(inR), outW, inR, ref, inc}
	s.t.Cleanup(func() {
		_ = inR.Close()
		_ = outW.Close()
	})
	return p
}

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func (p *program) line() string {
	l, err := p.in.ReadString('\n')
	if err != nil {
		return "ERROR " + err.Error()
	}
	return strings.TrimSuffix(l, "\n")
}

func (p *program) say(text string) { _, _ = io.WriteString(p.out, text) }

// exit ends the process.
func (p *program) exit(s *served, cause string) {
	_ = p.out.Close()
	_ = p.raw.Close()
	s.Gone(p.ref, p.inc, cause, []string{"last line"})
}

func (s *served) send(payload string) <-chan Sent {
	c := make(chan Sent, 1)
	ctx := s.t.Context()
	go func() {
		got, err := s.Send(ctx, "f", "", []byte(payload), true)
		if err != nil {
			got.Reason = err.Error()
		}
		c <- got
	}()
	return c
}

func (got Sent) text() string {
	var parts []string
	for _, r := range got.Results {
		parts = append(parts, string(r.Payload))
	}
	return got.State + " " + strings.Join(parts, "|")
}

func TestFilterInLockStepHasOneLineInHand(t *testing.T) {
	s := serve(t, filterSat(topology.SpeaksLines, ""))
	f := s.spawnFilter()
	first := s.send("one")
	if l := f.line(); l != "one" {
		t.Fatal(l)
	}
	second := s.send("two\n")
	s.until("both admitted", func(l Ledger) bool { return l.InFlight == 1 && l.Held == 1 })
	f.say("ONE\n")
	if got := <-first; got.text() != "done ONE" {
		t.Error(got)
	}
	if l := f.line(); l != "two" {
		t.Fatal(l)
	}
	f.say("TWO\n")
	if got := <-second; got.text() != "done TWO" {
		t.Error(got)
	}
	if got := <-s.send("two\nlines"); got.State != "failed" || !strings.Contains(got.Reason, "more than one line") {
		t.Errorf("%+v", got)
	}
	f.exit(s, "exit code 0")
}

func TestFilterModes(t *testing.T) {
	t.Run("pipelined", func(t *testing.T) {
		s := serve(t, filterSat(topology.SpeaksLines, topology.ModePipelined))
		f := s.spawnFilter()
		var sent []<-chan Sent
		for i := range 10 {
			sent = append(sent, s.send(fmt.Sprint(i)))
		}
		var lines []string
		for range 10 {
			lines = append(lines, f.line())
		}
		f.say(strings.Join(lines, "!\n") + "!\n")
		for i, c := range sent {
			if got := <-c; got.text() != fmt.Sprintf("done %d!", i) {
				t.Error(got)
			}
		}
	})
	t.Run("sink", func(t *testing.T) {
		s := serve(t, filterSat(topology.SpeaksLines, topology.ModeSink))
		f := s.spawnFilter()
		_ = f.out.Close() // its output does not matter
		for range 3 {
			if got := <-s.send("x"); got.text() != "done " {
				t.Error(got)
			}
		}
		if l := f.line() + f.line() + f.line(); l != "xxx" {
			t.Error(l)
		}
	})
	t.Run("many", func(t *testing.T) {
		s := serve(t, filterSat(topology.SpeaksLines, topology.ModeMany))
		f := s.spawnFilter()
		c := s.send("2")
		f.line()
		f.say("a\nb\n\n")
		if got := <-c; got.text() != "done a|b" {
			t.Error(got)
		}
		c = s.send("0")
		f.line()
		f.say("\n")
		if got := <-c; got.text() != "done " {
			t.Error(got)
		}
	})
	t.Run("frames", func(t *testing.T) {
		s := serve(t, filterSat(topology.SpeaksFrames, ""))
		f := s.spawnFilter()
		c := s.send("a\nb")
		head := make([]byte, 7)
		if _, err := io.ReadFull(f.in, head); err != nil || string(head) != "\x00\x00\x00\x03a\nb" {
			t.Errorf("%q %v", head, err)
		}
		f.say("\x00\x00\x00\x02")
		f.say("ok")
		if got := <-c; got.text() != "done ok" {
			t.Error(got)
		}
	})
	t.Run("json", func(t *testing.T) {
		s := serve(t, filterSat(topology.SpeaksJSON, ""))
		f := s.spawnFilter()
		c := s.send("{\n \"a\": 1 }")
		if l := f.line(); l != `{"a":1}` {
			t.Error(l)
		}
		f.say("[1]\n")
		if got := <-c; got.text() != "done [1]" || got.Results[0].Codec != "json" {
			t.Error(got)
		}
		c = s.send("1")
		f.line()
		f.say("not json\n")
		if got := <-c; got.State != "failed" || !strings.Contains(got.Reason, "not JSON") {
			t.Errorf("%+v", got)
		}
		if got := <-s.send("{"); got.State != "failed" {
			t.Errorf("%+v", got)
		}
	})
}

func TestFilterSourceEmitsEveryLineAndWaitsForRoom(t *testing.T) {
	w := sat("w")
	w.Queue.MaxMessages = 10
	s := serve(t, filterSat(topology.SpeaksLines, topology.ModeSource, "w"), w)
	f := s.spawnFilter()
	const n = 5000
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for i := range n {
			f.say(fmt.Sprintln(i))
		}
		f.exit(s, "exit code 0")
	}()
	s.until("full", func(l Ledger) bool { return l.Held >= 10 })
	ref, inc, env := s.admit("w", 0)
	s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, upper)
	<-wrote
	s.until("all done", func(l Ledger) bool { return l.Done == n && l.Admitted == n })
}

func TestFilterFaults(t *testing.T) {
	cases := map[string]struct {
		do  func(s *served, f *program)
		why string
	}{
		"answers unasked":  {func(_ *served, f *program) { f.say("hello\n") }, "without being asked"},
		"closes stdout":    {func(_ *served, f *program) { _ = f.out.Close() }, "closed its standard output"},
		"endless line":     {func(_ *served, f *program) { f.say(strings.Repeat("x", 2*lineMax)) }, "longer than"},
		"buffers its line": {func(s *served, f *program) { s.send("x"); f.line() }, "output buffered?"},
		"closes stdin":     {func(s *served, f *program) { _ = f.raw.Close(); s.send("x") }, "standard input"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := filterSat(topology.SpeaksLines, "")
			w.Work.Deadline = time.Second
			s := serve(t, w)
			f := s.spawnFilter()
			c.do(s, f)
			if got := s.expect("fault f:0"); !strings.Contains(got, c.why) {
				t.Errorf("%q, want %q", got, c.why)
			}
			f.exit(s, "killed by signal 9")
		})
	}
}

func TestFilterThatDiesGivesBackItsLine(t *testing.T) {
	s := serve(t, filterSat(topology.SpeaksLines, ""))
	f := s.spawnFilter()
	c := s.send("x")
	f.line()
	f.say("half an answ")
	f.exit(s, "killed by signal 9")
	g := s.spawnFilter()
	if l := g.line(); l != "x" {
		t.Fatal(l)
	}
	g.say("X\n")
	if got := <-c; got.text() != "done X" {
		t.Error(got)
	}
}

// A grandchild may keep the pipe open after the process is gone.
func TestFilterWhoseOutputStaysOpenIsBuriedAllTheSame(t *testing.T) {
	s := serve(t, filterSat(topology.SpeaksLines, ""))
	f := s.spawnFilter()
	s.send("x")
	f.line()
	s.Gone(f.ref, f.inc, "killed by signal 9", nil)
	s.until("back in the queue", func(l Ledger) bool { return l.Held == 1 && l.InFlight == 0 })
}

func TestFilterAnswersBeforeItsEndCount(t *testing.T) {
	s := serve(t, filterSat(topology.SpeaksLines, topology.ModePipelined))
	f := s.spawnFilter()
	a, b := s.send("a"), s.send("b")
	f.line()
	f.line()
	f.say("A\n")
	f.exit(s, "exit code 0")
	var first Sent
	select {
	case first = <-a:
	case first = <-b:
	}
	if first.text() != "done A" {
		t.Error(first)
	}
	s.until("the other back", func(l Ledger) bool { return l.Done == 1 && l.Held == 1 })
}

func TestTerminalEndsWithEIO(t *testing.T) {
	if endOf(&os.PathError{Err: syscall.EIO}) != nil || endOf(io.EOF) != nil || endOf(syscall.ENOMEM) == nil {
		t.Error("the end of a terminal is an end in good order")
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("a\nb\n"), false)
	f.Add([]byte("\x00\x00\x00\x01a\xff\xff\xff\xff"), true)
	f.Fuzz(func(t *testing.T, data []byte, frames bool) {
		form := framing{speaks: topology.SpeaksLines}
		if frames {
			form.speaks = topology.SpeaksFrames
		}
		a := newAnswers(strings.NewReader(string(data)), form)
		total := 0
		for {
			m, err := a.next()
			if err != nil {
				break
			}
			total += len(m) + 1
			if a.more() && a.r.Buffered() == 0 {
				t.Fatal("more of nothing")
			}
		}
		if total > len(data) {
			t.Fatalf("%d bytes out of %d", total, len(data))
		}
	})
}
