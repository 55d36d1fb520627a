package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// Stream is what a satellite has put out and is kept on disk.
type Stream struct {
	Name      string     `json:"name"`
	Satellite string     `json:"satellite,omitempty"` // who writes it; "": nobody now
	Messages  uint64     `json:"messages"`
	First     uint64     `json:"first"` // numbers of the oldest and the newest; first > last: there is none
	Last      uint64     `json:"last"`
	Oldest    *time.Time `json:"oldest,omitempty"`
	Newest    *time.Time `json:"newest,omitempty"`
	Bytes     int64      `json:"bytes"`
	Age       float64    `json:"age,omitempty"` // what is kept at least: seconds, bytes, messages; 0: no bound
	Size      int64      `json:"size,omitempty"`
	Count     uint64     `json:"count,omitempty"`
	Rate10s   float64    `json:"rate_10s,omitempty"` // messages a second that are put into it
	Rate1m    float64    `json:"rate_1m,omitempty"`
	Readers   int        `json:"readers,omitempty"` // of it at the moment
	Lost      uint64     `json:"lost,omitempty"`    // not kept since the daemon started: the disk was full or too slow
	Full      bool       `json:"full,omitempty"`
	Fault     string     `json:"fault,omitempty"`
}

// StreamMessage is one kept message.
type StreamMessage struct {
	Stream  string          `json:"stream"`
	Seq     uint64          `json:"seq"`
	Time    time.Time       `json:"time"` // when it was put out
	Step    string          `json:"step"` // by whom
	Task    string          `json:"task"`
	Codec   string          `json:"codec"`
	Format  string          `json:"format,omitempty"` // of a struct whose format is known: the codec that Send takes, with it
	Payload json.RawMessage `json:"payload"`          // what its codec makes of it
	Raw     []byte          `json:"raw"`              // the payload itself, in base64
}

// StreamQuery says which messages are wanted, of all streams whose names match, in the order of their times.
type StreamQuery struct {
	Pattern  string // * and ? stand for any characters but /; "" is all
	From, To string // a time (RFC 3339), or how long ago; "": no bound
	Seq      uint64 // from this number on, with one stream only
	Where    string // a condition, as on a link
	Limit    int    // 0: none
}

// Streams lists the retained streams whose names match a pattern; "" is all.
func (c *Client) Streams(ctx context.Context, pattern string) ([]Stream, error) {
	query := url.Values{}
	if pattern != "" {
		query.Set("pattern", pattern)
	}
	list, err := ask[[]Stream](ctx, c, get(PathStreams, query))
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// StreamMessages reads kept messages. An answer that was cut off ends with an error.
func (c *Client) StreamMessages(ctx context.Context, q StreamQuery) iter.Seq2[StreamMessage, error] {
	query := url.Values{}
	for name, text := range map[string]string{"pattern": q.Pattern, "from": q.From, "to": q.To, "where": q.Where} {
		if text != "" {
			query.Set(name, text)
		}
	}
	if q.Seq > 0 {
		query.Set("seq", strconv.FormatUint(q.Seq, 10))
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	return func(yield func(StreamMessage, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answer, err := c.openStream(ctx, get(PathStreams+"/messages", query))
		if err != nil {
			yield(StreamMessage{}, err)
			return
		}
		defer answer.Body.Close()
		for lines := json.NewDecoder(answer.Body); ; {
			var m StreamMessage
			err := lines.Decode(&m)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(m, c.ended(ctx, err, false))
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}
