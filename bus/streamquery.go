package bus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/dsat/dsat/bus/codec"
	"github.com/dsat/dsat/bus/rules"
	"github.com/dsat/dsat/bus/streams"
)

// StreamQuery says which messages are wanted: of all streams whose names match, in the order of their times.
type StreamQuery struct {
	Pattern  string // path.Match; "" is all
	Seq      uint64 // from this one on; only with one stream
	From, To time.Time
	Where    string // condition, as on a link; "": every message
	Limit    int    // 0: none
}

// StreamEntry is one kept message.
type StreamEntry struct {
	streams.Entry
	reader codec.Codec
}

// ID is the task, as people write it.
func (e *StreamEntry) TaskID() string { return formatID(e.Task) }

// CodecName is how the payload is written.
func (e *StreamEntry) CodecName() string { return codecName(e.Codec) }

// JSON is the payload as one line of JSON, for people.
func (e *StreamEntry) JSON() []byte { return codec.Render(e.reader, e.Payload) }

// errEnough ends a reading.
var errEnough = errors.New("enough")

// ReadStreams calls f with the messages of a query, and returns how many there were. What is appended meanwhile may be among them.
// Errors are *Error, that of f, or that of a disk.
func (b *Bus) ReadStreams(ctx context.Context, q StreamQuery, f func(*StreamEntry) error) (n int, err error) {
	names, err := b.streamNames(q.Pattern)
	if err != nil {
		return 0, err
	}
	if len(names) == 0 {
		return 0, b.noStream(q.Pattern)
	}
	if q.Seq > 0 && len(names) > 1 {
		return 0, &Error{KindInvalid, fmt.Sprintf("cannot begin with number %d in %d streams: each has numbers of its own; name one, or a time", q.Seq, len(names))}
	}
	match, err := whereOf(q.Where)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = b.merged(ctx, names, q, func(e *StreamEntry) error {
		if !q.To.IsZero() && e.Time.After(q.To) || !match(e) {
			return nil
		}
		if err := f(e); err != nil {
			return err
		}
		if n++; n == q.Limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return n, err
}

// noStream says which streams there are.
func (b *Bus) noStream(pattern string) error {
	names, err := b.streamNames("")
	switch {
	case err != nil:
		return err
	case len(names) == 0:
		return &Error{KindNotFound, fmt.Sprintf("cannot find a stream %q: none was retained (retain = { ... } on a satellite)", pattern)}
	}
	const most = 8
	more := ""
	if len(names) > most {
		names, more = names[:most], ", ..."
	}
	return &Error{KindNotFound, fmt.Sprintf("cannot find a stream %q; there are %s%s; * and ? stand for any characters but /", pattern, strings.Join(names, ", "), more)}
}

// whereOf compiles a condition. A message that it cannot judge does not match.
func whereOf(text string) (func(*StreamEntry) bool, error) {
	if text == "" {
		return func(*StreamEntry) bool { return true }, nil
	}
	rule, err := rules.Compile(text, rules.Bool)
	if err != nil {
		return nil, &Error{KindInvalid, fmt.Sprintf("cannot use the condition %s: %v", text, err)}
	}
	return func(e *StreamEntry) bool {
		ok, err := rule.Match(&rules.Message{
			From: e.Step, Step: e.Step, Codec: e.CodecName(), Task: e.TaskID, Hops: int(e.Hops), Size: len(e.Payload), Now: e.Time,
			Payload: func() (any, error) {
				if e.reader == nil {
					return nil, errors.New("nobody knows how it is written")
				}
				return e.reader.Decode(e.Payload)
			},
		})
		return ok && err == nil
	}, nil
}

// merged reads several streams as one, by time.
func (b *Bus) merged(ctx context.Context, names []string, q StreamQuery, f func(*StreamEntry) error) error {
	heads := make([]*head, 0, len(names))
	defer func() {
		for _, h := range heads {
			h.stop()
		}
	}()
	for _, name := range names {
		h := &head{}
		h.next, h.stop = iter.Pull2(b.entries(ctx, name, q))
		heads = append(heads, h)
		if err := h.advance(); err != nil {
			return err
		}
	}
	for {
		var first *head
		for _, h := range heads {
			if h.entry != nil && (first == nil || h.entry.Time.Before(first.entry.Time)) {
				first = h
			}
		}
		if first == nil {
			return nil
		}
		if err := f(first.entry); err != nil {
			return err
		}
		if err := first.advance(); err != nil {
			return err
		}
	}
}

// head is the next message of one stream; nil at its end.
type head struct {
	entry *StreamEntry
	next  func() (*StreamEntry, error, bool)
	stop  func()
}

func (h *head) advance() error {
	e, err, more := h.next()
	if h.entry = e; !more {
		h.entry = nil
	}
	return err
}

// entries reads one stream from where a query begins.
func (b *Bus) entries(ctx context.Context, name string, q StreamQuery) iter.Seq2[*StreamEntry, error] {
	return func(yield func(*StreamEntry, error) bool) {
		known := &formats{} // of this reading
		b.shelf.readers(name, 1)
		defer b.shelf.readers(name, -1)
		err := b.withStream(name, func(s *streams.Stream) error {
			return s.Read(ctx, q.Seq, q.From, func(e *streams.Entry) error {
				out := &StreamEntry{Entry: *e}
				if out.reader = known.reader(e.Codec); e.Format != "" {
					out.reader = known.reader(known.parse(e.Format))
				}
				if !yield(out, nil) {
					return errEnough
				}
				return nil
			})
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}
