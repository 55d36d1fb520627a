package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// lineLimit bounds one line of a stream, bytes.
const lineLimit = 16 << 20

// LogQuery says which lines are wanted.
type LogQuery struct {
	Names  []string  // satellites, instances or globs; those too that have left nothing but files
	N      int       // the newest so many; below 0: all
	Since  time.Time // zero: from the first
	Until  time.Time // zero: to the last
	Grep   string    // RE2, in the text; "": any
	Stream string    // stdout or stderr; "": both
	Follow bool      // and those to come
}

func (q *LogQuery) values() url.Values {
	v := url.Values{"n": {"all"}}
	if q.N >= 0 {
		v.Set("n", strconv.Itoa(q.N))
	}
	for name, at := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !at.IsZero() {
			v.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	for name, text := range map[string]string{"grep": q.Grep, "stream": q.Stream} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if q.Follow {
		v.Set("follow", "1")
	}
	return v
}

// Logs reads lines that the named instances wrote, in the order of their time, and, with Follow, those to come. With Follow the end of
// the stream is an error of KindUnavailable, the daemon is gone, unless Until was over. Breaking off the loop closes the connection.
func (c *Client) Logs(ctx context.Context, q LogQuery) iter.Seq2[LogLine, error] {
	req := get(PathLogs+url.PathEscape(strings.Join(q.Names, ",")), q.values())
	follow := q.Follow && q.Until.IsZero()
	return func(yield func(LogLine, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answer, err := c.openStream(ctx, req)
		if err != nil {
			yield(LogLine{}, err)
			return
		}
		defer answer.Body.Close()
		lines := scanner(answer.Body)
		for lines.Scan() {
			if len(lines.Bytes()) == 0 {
				continue // keeps the connection alive
			}
			var line LogLine
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				yield(line, c.garbled(err))
				return
			}
			if !yield(line, c.pass(lines.Bytes())) {
				return
			}
		}
		if err := c.ended(ctx, lines.Err(), follow); err != nil {
			yield(LogLine{}, err)
		}
	}
}

// Events reads the events kept by the daemon whose number is greater than since and, with follow, those to come. A dropped
// connection is resumed where it ended; when that fails, or nothing more comes before it drops again, the stream ends with
// an error of KindUnavailable: the daemon is gone.
func (c *Client) Events(ctx context.Context, since uint64, follow bool) iter.Seq2[Event, error] {
	query := url.Values{}
	if since > 0 {
		query.Set("since", strconv.FormatUint(since, 10))
	}
	if !follow {
		query.Set("follow", "0")
	}
	req := get(PathEvents, query)
	return func(yield func(Event, error) bool) {
		s := subscription{client: c, follow: follow, yield: yield}
		for {
			seen := s.seen
			err := s.read(ctx, req)
			switch {
			case s.left || err == nil:
				return
			case !follow || !isDrop(err) || ctx.Err() != nil || s.resumed && s.seen == seen:
				yield(Event{}, err)
				return
			}
			s.resumed = true
			if s.last != "" {
				req.header = http.Header{"Last-Event-Id": {s.last}}
			}
		}
	}
}

// subscription is one reader of events over several connections.
type subscription struct {
	client  *Client
	follow  bool
	yield   func(Event, error) bool
	last    string // id of the newest event
	seen    uint64 // events so far
	resumed bool   // a connection was dropped before
	left    bool   // the reader broke off
}

// read is one connection; nil is an end that was asked for.
func (s *subscription) read(ctx context.Context, req request) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := s.client.openStream(ctx, req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	frames := newFrames(answer.Body)
	for {
		f, err := frames.next()
		if err != nil {
			return s.client.ended(ctx, notEOF(err), s.follow)
		}
		if f.id != "" {
			s.last = f.id
		}
		if len(f.data) == 0 {
			continue
		}
		var event Event
		if err := json.Unmarshal(f.data, &event); err != nil {
			return s.client.garbled(err)
		}
		s.seen++
		if !s.yield(event, s.client.pass(f.data)) {
			s.left = true
			return nil
		}
	}
}

// openStream waits for the head of the answer as long as for any question; what follows may take for ever.
func (c *Client) openStream(ctx context.Context, req request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(c.patience, cancel)
	answer, err := c.open(ctx, req)
	inTime := late.Stop()
	if err == nil && inTime {
		answer.Body = &streamBody{answer.Body, cancel}
		return answer, nil
	}
	cancel()
	if err == nil {
		_ = answer.Body.Close() // it came too late; nothing of it is wanted
	}
	if !inTime {
		err = c.transport(context.Background(), context.DeadlineExceeded)
	}
	return nil, err
}

// streamBody frees the context of a stream with the stream.
type streamBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *streamBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// ended judges the end of a stream.
func (c *Client) ended(ctx context.Context, err error, follow bool) error {
	if err == nil && !follow {
		return nil
	}
	if err == nil {
		err = io.EOF
	}
	if errors.Is(err, bufio.ErrTooLong) {
		return c.garbled(fmt.Errorf("a line is longer than %d bytes", lineLimit))
	}
	return c.transport(ctx, err)
}

func isDrop(err error) bool {
	var failure *Error
	return errors.As(err, &failure) && failure.Kind == KindUnavailable
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func scanner(r io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineLimit)
	return lines
}
