package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestLogs(t *testing.T) {
	client := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/v1/logs/cpu?n=2" {
			t.Errorf("asked %s", r.RequestURI)
		}
		io.WriteString(w, `{"name":"cpu","text":"one"}`+"\n\n"+`{"name":"cpu","text":"two","lost":3}`+"\n")
	})
	var out bytes.Buffer
	var got []string
	for line, err := range client.Tee(&out).Logs(t.Context(), LogQuery{Names: []string{"cpu"}, N: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(line.Text, line.Lost))
	}
	if !slices.Equal(got, []string{"one0", "two3"}) || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("got %q, tee %q", got, out.String())
	}
}

func TestFollowedLogsEndWithTheDaemon(t *testing.T) {
	client := fake(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"text":"last"}`+"\n") })
	lines := 0
	var last error
	for _, err := range client.Logs(t.Context(), LogQuery{Names: []string{"cpu"}, N: 2, Follow: true}) {
		if last = err; err == nil {
			lines++
		}
	}
	wantKind(t, last, KindUnavailable)
	if lines != 1 {
		t.Errorf("got %d lines", lines)
	}
}

func TestInterruptedFollowing(t *testing.T) {
	client := fake(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"text":"a"}`+"\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range client.Logs(ctx, LogQuery{Names: []string{"cpu"}, N: 2, Follow: true}) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("got %v", last)
	}
	for range client.Logs(t.Context(), LogQuery{Names: []string{"cpu"}, N: 2, Follow: true}) {
		break // must close the connection, else the server's cleanup waits for ever
	}
}

// The connection breaks after every two events; the reader takes up where it was, and ends when nothing comes any more.
func TestEventsResume(t *testing.T) {
	var asked []string
	client := fake(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("since")+"|"+r.Header.Get("Last-Event-Id"))
		first := 2*len(asked) - 1
		if first > 5 {
			return
		}
		for seq := first; seq < first+2; seq++ {
			fmt.Fprintf(w, ": comment\nid: 3-%d\ndata: {\"seq\":%d}\n\n", seq, seq)
		}
		fmt.Fprint(w, "id: 3-99\ndata: {\"torn")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	var got []uint64
	var last error
	for event, err := range client.Events(t.Context(), 7, true) {
		if last = err; err == nil {
			got = append(got, event.Seq)
		}
	}
	wantKind(t, last, KindUnavailable)
	if !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("got %v", got)
	}
	if diff := cmp.Diff([]string{"7|", "7|3-2", "7|3-4", "7|3-6"}, asked); diff != "" {
		t.Error(diff)
	}
}

func TestEventsWithoutFollowing(t *testing.T) {
	client := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "/events?follow=0" {
			t.Errorf("asked %s", r.RequestURI)
		}
		io.WriteString(w, "id: 1-1\r\ndata: {\"seq\":1,\r\ndata: \"cause\":\"x\"}\r\n\r\n")
	})
	var got []Event
	for event, err := range client.Events(t.Context(), 0, false) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, event)
	}
	if diff := cmp.Diff([]Event{{Seq: 1, Cause: "x"}}, got); diff != "" {
		t.Error(diff)
	}
}

// However the stream is cut into reads and whichever line ends it uses, the frames are the same.
func TestFramesSurviveAnyCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "end")
		texts := rapid.SliceOfN(rapid.StringMatching(`[a-z: ]{0,9}x`), 1, 5).Draw(t, "texts")
		var stream strings.Builder
		for i, text := range texts {
			fmt.Fprintf(&stream, "id: %d%sdata: %s%s%s", i, end, text, end, end)
		}
		step := rapid.IntRange(1, 7).Draw(t, "step")
		frames := newFrames(&chopped{text: stream.String(), step: step})
		for i, text := range texts {
			f, err := frames.next()
			if err != nil || string(f.data) != text || f.id != fmt.Sprint(i) {
				t.Fatalf("frame %d: got %q %q %v, want %q", i, f.id, f.data, err, text)
			}
		}
		if _, err := frames.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("after the last: %v", err)
		}
	})
}

// chopped gives at most step bytes a read.
type chopped struct {
	text string
	step int
}

func (c *chopped) Read(p []byte) (int, error) {
	if c.text == "" {
		return 0, io.EOF
	}
	n := copy(p, c.text[:min(c.step, len(c.text))])
	c.text = c.text[n:]
	return n, nil
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("id: 1\ndata: {}\n\n"))
	f.Add([]byte("data\rdata:x\r\n\r\n:\n\nretry: 5\n\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		frames := newFrames(bytes.NewReader(stream))
		for range len(stream) + 1 {
			frame, err := frames.next()
			if err != nil {
				return
			}
			if frame.data == nil && frame.id == "" || len(frame.data) > len(stream) {
				t.Fatalf("an empty or invented frame: %q", frame)
			}
		}
		t.Fatal("more frames than bytes")
	})
}
