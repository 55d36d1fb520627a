package control

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// Tapped is one message on its way to a worker.
type Tapped struct {
	Time     time.Time       `json:"time"`
	ID       string          `json:"id"`
	Task     string          `json:"task"`
	From     string          `json:"from,omitempty"` // the step that put it out; "": it came from outside
	To       string          `json:"to"`
	Instance string          `json:"instance"` // NAME:WID that it is given to
	Attempt  int             `json:"attempt"`
	Age      float64         `json:"age"` // seconds since it was admitted
	Codec    string          `json:"codec"`
	Size     int             `json:"size"`              // bytes of the payload
	Payload  json.RawMessage `json:"payload,omitempty"` // what its codec makes of it
	Cut      string          `json:"cut,omitempty"`     // the beginning of that, where it is longer than wanted
	Skipped  uint64          `json:"skipped,omitempty"` // messages since the last one that sample and rate left out
	Lost     uint64          `json:"lost,omitempty"`    // messages since the last one that the viewer was too slow for
}

// LinkRate is what went over one link in the last second or so.
type LinkRate struct {
	From     string  `json:"from,omitempty"` // "": from outside
	To       string  `json:"to"`
	Messages uint64  `json:"messages"`
	Bytes    uint64  `json:"bytes"`
	Rate     float64 `json:"rate"` // messages a second
}

// TapQuery says which messages are wanted. An empty name is any step.
type TapQuery struct {
	From, To string
	Sample   int     // of so many one; 0: each
	Rate     float64 // a second at most; 0: the daemon's 1,000
	Cut      int     // bytes of a payload's JSON; 0: the daemon's 1,024
}

func (q *TapQuery) values() url.Values {
	v := url.Values{}
	for name, text := range map[string]string{"from": q.From, "to": q.To} {
		if text != "" {
			v.Set(name, text)
		}
	}
	for name, n := range map[string]int{"sample": q.Sample, "cut": q.Cut} {
		if n > 0 {
			v.Set(name, strconv.Itoa(n))
		}
	}
	if q.Rate > 0 {
		v.Set("rate", strconv.FormatFloat(q.Rate, 'g', -1, 64))
	}
	return v
}

// Tap follows messages on their way, until the loop is broken off. The end of the stream is an error of KindUnavailable.
func (c *Client) Tap(ctx context.Context, q TapQuery) iter.Seq2[Tapped, error] {
	return follow[Tapped](ctx, c, get(PathTap, q.values()))
}

// TapCounts follows what goes over each link, once a second; links without messages are left out.
func (c *Client) TapCounts(ctx context.Context, q TapQuery) iter.Seq2[[]LinkRate, error] {
	query := q.values()
	query.Set("count", "1")
	return follow[[]LinkRate](ctx, c, get(PathTap, query))
}

// follow reads the values of server-sent events.
func follow[T any](ctx context.Context, c *Client, req request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var none T
		answer, err := c.openStream(ctx, req)
		if err != nil {
			yield(none, err)
			return
		}
		defer answer.Body.Close()
		for frames := newFrames(answer.Body); ; {
			f, err := frames.next()
			if err != nil {
				yield(none, c.ended(ctx, notEOF(err), true))
				return
			}
			if len(f.data) == 0 {
				continue
			}
			var value T
			if err := json.Unmarshal(f.data, &value); err != nil {
				yield(none, c.garbled(err))
				return
			}
			if !yield(value, c.pass(f.data)) {
				return
			}
		}
	}
}
