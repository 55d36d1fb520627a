package csv

import (
	"context"
	stdcsv "encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dsat/dsat/satellites"
)

func message(id uint64, from, payload string) *satellites.Message {
	return &satellites.Message{ID: id, From: from, Payload: []byte(payload), Time: time.Unix(1, 5e8)}
}

func keep(t *testing.T, s *Store, messages ...*satellites.Message) {
	t.Helper()
	for _, m := range messages {
		if err := s.Handle(context.Background(), m, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

func store(t *testing.T, dir string, wid int) *Store {
	t.Helper()
	s := New(dir, wid)
	t.Cleanup(s.Close)
	return s
}

func content(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestOneFilePerSource(t *testing.T) {
	dir := t.TempDir()
	s := store(t, dir, 0)
	keep(t, s, message(1, "cpu", `{"load1":0.5,"top":[{"pid":1}],"e":{},"n":null}`), message(2, "mem", `{"a":"x,\"y\"\nz"}`))
	keep(t, s, message(3, "cpu", `{"n":true,"top":[{"pid":9007199254740993}],"load1":1e3,"e":{}}`), message(4, "", `not json`))
	if diff := cmp.Diff(`message_id,message_time,load1,top.0.pid,e,n
1,1970-01-01T00:00:01.5Z,0.5,1,,
3,1970-01-01T00:00:01.5Z,1e3,9007199254740993,,true
`, content(t, dir, "cpu.csv")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("message_id,message_time,a\n2,1970-01-01T00:00:01.5Z,\"x,\"\"y\"\"\nz\"\n", content(t, dir, "mem.csv")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("message_id,message_time,payload\n4,1970-01-01T00:00:01.5Z,not json\n", content(t, dir, "from.outside.csv")); diff != "" {
		t.Error(diff)
	}
}

func TestNothingIsWrittenBeforeFlush(t *testing.T) {
	dir := t.TempDir()
	s := store(t, dir, 0)
	if err := s.Handle(context.Background(), message(1, "cpu", `{"a":1}`), nil); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir, "cpu.csv"); got != "message_id,message_time,a\n" {
		t.Errorf("%q", got)
	}
}

func TestOtherColumnsGoToAnotherFileAndBack(t *testing.T) {
	dir := t.TempDir()
	keep(t, store(t, dir, 0), message(1, "cpu", `{"a":1}`), message(2, "cpu", `{"a":1,"b":2}`), message(3, "cpu", `{"a":3}`))
	keep(t, store(t, dir, 3), message(4, "cpu", `{"b":4,"a":4}`))
	for name, want := range map[string]int{"cpu.csv": 3, "cpu.v2.csv": 2, "cpu.w3.csv": 2} {
		if got := strings.Count(content(t, dir, name), "\n"); got != want {
			t.Errorf("%s has %d lines, want %d", name, got, want)
		}
	}
}

// After a restart rows go on in the file that fits, in the order of its header.
func TestRestartFindsTheFileThatFits(t *testing.T) {
	dir := t.TempDir()
	first := New(dir, 0)
	keep(t, first, message(1, "cpu", `{"a":1}`), message(2, "cpu", `{"a":1,"b":2}`))
	first.Close()
	keep(t, store(t, dir, 0), message(3, "cpu", `{"b":"bee","a":"ay"}`))
	if got := content(t, dir, "cpu.v2.csv"); !strings.HasSuffix(got, "3,1970-01-01T00:00:01.5Z,ay,bee\n") {
		t.Errorf("%q", got)
	}
}

// A crash can leave a file that ends anywhere: what is whole stays, half a row goes, and the next row is whole.
func TestTornEndIsMended(t *testing.T) {
	dir := t.TempDir()
	first := New(dir, 0)
	keep(t, first, message(1, "cpu", `{"a":"one\ntwo \"quoted\""}`), message(2, "cpu", `{"a":"2"}`))
	first.Close()
	whole := content(t, dir, "cpu.csv")
	for cut := range len(whole) {
		torn := t.TempDir()
		if err := os.WriteFile(filepath.Join(torn, "cpu.csv"), []byte(whole[:cut]), 0o644); err != nil {
			t.Fatal(err)
		}
		s := New(torn, 0)
		keep(t, s, message(9, "cpu", `{"a":"nine"}`))
		s.Close()
		rows, err := stdcsv.NewReader(strings.NewReader(content(t, torn, "cpu.csv"))).ReadAll()
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if last := rows[len(rows)-1]; last[0] != "9" || last[2] != "nine" || rows[0][0] != columnID {
			t.Fatalf("cut at %d: %v", cut, rows)
		}
	}
}

func TestTwoProcessesDoNotWriteOneFile(t *testing.T) {
	dir := t.TempDir()
	keep(t, store(t, dir, 0), message(1, "cpu", `{"a":1}`))
	err := store(t, dir, 0).Handle(context.Background(), message(2, "cpu", `{"a":1}`), nil)
	if err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
}

func TestForeignFileIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cpu.csv")
	if err := os.WriteFile(path, []byte("my,own\n1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := store(t, dir, 0).Handle(context.Background(), message(1, "cpu", `{"a":1}`), nil)
	if err == nil || !strings.Contains(err.Error(), "not one of ours") {
		t.Errorf("got %v", err)
	}
	if got := content(t, dir, "cpu.csv"); got != "my,own\n1,2\n" {
		t.Errorf("%q", got)
	}
}

func TestKeysThatAreData(t *testing.T) {
	s := store(t, t.TempDir(), 0)
	var err error
	for i := 0; i <= mostVariants && err == nil; i++ {
		err = s.Handle(context.Background(), message(1, "cpu", fmt.Sprintf(`{"k%d":1}`, i)), nil)
	}
	if err == nil || !strings.Contains(err.Error(), "are its keys data") {
		t.Errorf("got %v", err)
	}
}

// A disk that gets full (here: a limit on the size of files) gives rows back and leaves no half row.
func TestNoRoomLeavesNoHalfRow(t *testing.T) {
	dir := t.TempDir()
	s := store(t, dir, 0)
	keep(t, s, message(1, "cpu", `{"a":"first"}`))
	before := content(t, dir, "cpu.csv")
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := syscall.Rlimit{Cur: uint64(len(before) + 100), Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Skip(err)
	}
	for i := range uint64(3) {
		if err := s.Handle(context.Background(), message(2+i, "cpu", `{"a":"`+strings.Repeat("x", 60)+`"}`), nil); err != nil {
			t.Error(err)
		}
	}
	err := s.Flush()
	if back := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); back != nil {
		t.Fatal(back)
	}
	if err == nil || !strings.Contains(err.Error(), "cannot write") {
		t.Errorf("got %v", err)
	}
	if got := content(t, dir, "cpu.csv"); got != before {
		t.Errorf("left %q", got[len(before):])
	}
	keep(t, s, message(5, "cpu", `{"a":"again"}`))
	if got := content(t, dir, "cpu.csv"); got != before+"5,1970-01-01T00:00:01.5Z,again\n" {
		t.Errorf("%q", got)
	}
}

// Any payloads: the rows can be read again, and Mend finds every one of them whole.
func TestRowsSurvive(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		_ = os.Remove(filepath.Join(dir, "s.csv"))
		s := New(dir, 0)
		defer s.Close()
		values := rapid.SliceOfN(rapid.String(), 1, 20).Draw(rt, "values")
		for i, v := range values {
			payload := fmt.Appendf(nil, `{"v":%s}`, quote(v))
			if err := s.Handle(context.Background(), &satellites.Message{ID: uint64(i), From: "s", Payload: payload}, nil); err != nil {
				rt.Fatal(err)
			}
		}
		if err := s.Flush(); err != nil {
			rt.Fatal(err)
		}
		text := content(t, dir, "s.csv")
		rows, err := stdcsv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(rows) != len(values)+1 {
			rt.Fatalf("%d rows of %d: %v", len(rows)-1, len(values), err)
		}
		header, size, err := Mend(strings.NewReader(text))
		if err != nil || size != int64(len(text)) || len(header) != 3 {
			rt.Fatalf("header %v, size %d of %d: %v", header, size, len(text), err)
		}
	})
}
