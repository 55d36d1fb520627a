package web

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/dsat/dsat/web/control"
)

// quiet is a topology in which nothing happens by itself.
const quiet = `
dsat = 1
name = "quiet"

[satellite.off]
command   = "sleep 1000"
autostart = false
`

func TestEventsResumeWhereTheyEnded(t *testing.T) {
	h := lived(t, quiet)
	for n := range 5 {
		h.hub.Publish(control.Event{Kind: "bus", PID: n + 1, Cause: "a\nb"})
	}
	for _, c := range []struct {
		query, last string
		want        string
	}{
		{"", "", "1 2 3 4 5"},
		{"&since=3", "", "4 5"},
		{"&since=7-4", "", "5"},
		{"&since=5", "", ""},
		{"&since=18446744073709551615", "", ""},
		{"", "7-2", "3 4 5"},
		{"&since=1", "7-4", "5"},         // the header wins: the browser knows better where it was
		{"&since=4", "6-9", "1 2 3 4 5"}, // of an earlier daemon
	} {
		headers := []string{}
		if c.last != "" {
			headers = append(headers, "Last-Event-ID", c.last)
		}
		got := h.ask("tcp", "GET /events?follow=0"+c.query, "", headers...)
		var seen []string
		for block := range strings.SplitSeq(strings.TrimSpace(got.body), "\n\n") {
			if id, rest, ok := strings.Cut(block, "\n"); ok {
				seq := strings.TrimPrefix(id, "id: 7-")
				seen = append(seen, seq)
				if !strings.HasPrefix(rest, `event: bus`+"\n"+`data: {"seq":`+seq) || strings.Count(rest, "\n") != 1 {
					t.Errorf("%q", block)
				}
			}
		}
		if strings.Join(seen, " ") != c.want || got.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%+v: got %v, %v", c, seen, got.header)
		}
	}
}

// Followed by the client of dsatctl: kept ones, then those to come, until the daemon closes.
func TestEventsAreFollowedUntilTheEnd(t *testing.T) {
	h := lived(t, quiet)
	h.hub.Publish(control.Event{Kind: "daemon"})
	h.hub.Publish(control.Event{Kind: "daemon"})
	want, closed := uint64(2), make(chan struct{})
	for e, err := range control.Dial(h.socket()).Events(t.Context(), 1, true) {
		if err != nil {
			if errorKind(err) != control.KindUnavailable || want != 5 {
				t.Errorf("after %d: %v", want, err)
			}
			break
		}
		if e.Seq != want {
			t.Fatalf("%d instead of %d", e.Seq, want)
		}
		if want++; want == 5 {
			go func() { defer close(closed); h.stopStreams() }()
			continue
		}
		h.hub.Publish(control.Event{Kind: "daemon"})
	}
	<-closed
}

func TestLogs(t *testing.T) {
	h := lived(t, stage)
	lines := func(path string) (texts []string) {
		for text := range strings.Lines(h.ask("tcp", "GET "+path, "").body) {
			var l control.LogLine
			if err := json.Unmarshal([]byte(text), &l); err != nil || l.Name == "" || l.Seq == 0 || l.Stream == "" {
				t.Fatalf("%q: %v", text, err)
			}
			texts = append(texts, l.Text)
		}
		return texts
	}
	res := h.open("tcp", "GET /v1/logs/talker?n=3&follow=1", "")
	defer res.Body.Close()
	stream := bufio.NewScanner(res.Body)
	follow := func() {
		t.Helper()
		for _, want := range []string{"one", "two", "three"} {
			if !stream.Scan() || !strings.Contains(stream.Text(), `"`+want+`"`) {
				t.Fatal(stream.Text(), stream.Err())
			}
		}
	}
	follow()
	for path, want := range map[string]string{"/v1/logs/talker": "one two three", "/v1/logs/talker?n=1": "three", "/v1/logs/talker:0?n=0": "",
		"/v1/logs/talk*?n=2&follow=0": "two three"} {
		if got := strings.Join(lines(path), " "); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	if _, err := h.cfg.Supervisor.Restart(t.Context(), h.refs("talker")); err != nil {
		t.Fatal(err)
	}
	follow()
	h.stopStreams()
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// A reader that left is forgotten: the server can close at once, and the rooms below hold nothing for it (goleak looks).
func TestAReaderThatLeaves(t *testing.T) {
	h := lived(t, stage)
	h.hub.Publish(control.Event{Kind: "daemon"})
	for _, path := range []string{"/events", "/v1/logs/talker?follow=1"} {
		ctx, leave := context.WithCancel(t.Context())
		res := h.openAt(ctx, "unix", "GET "+path)
		if _, err := res.Body.Read(make([]byte, 1)); err != nil {
			t.Error(err)
		}
		leave()
		res.Body.Close()
	}
}
