package control

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// SendOptions is what may be asked of a message; zero values ask for nothing.
type SendOptions struct {
	Wait     time.Duration // for the end of its task
	ID       string        // taken once, where the queue has a window for that
	Delay    time.Duration // before it is given to a worker
	At       time.Time     // likewise, as a time of day
	TTL      time.Duration // in which its task must have ended
	Deadline time.Time     // likewise
	Priority int           // 0 to 9, the highest first, where the queue has levels
}

func (o *SendOptions) query() url.Values {
	q := waiting("wait", o.Wait)
	for name, d := range map[string]time.Duration{"delay": o.Delay, "ttl": o.TTL} {
		if d != 0 {
			q.Set(name, d.String())
		}
	}
	for name, t := range map[string]time.Time{"at": o.At, "deadline": o.Deadline} {
		if !t.IsZero() {
			q.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	if o.ID != "" {
		q.Set("id", o.ID)
	}
	if o.Priority != 0 {
		q.Set("priority", strconv.Itoa(o.Priority))
	}
	return q
}

// SendWith is Send with what else may be asked of a message.
func (c *Client) SendWith(ctx context.Context, step, codec string, payload []byte, opt SendOptions) (*Sent, error) {
	req := post(PathSend+url.PathEscape(step), opt.query())
	req.body = payload
	req.header = http.Header{"Content-Type": {"application/octet-stream"}}
	if codec != "" {
		req.query.Set("codec", codec)
	}
	if opt.Wait > 0 {
		return askLong[Sent](ctx, c, req)
	}
	return ask[Sent](ctx, c, req)
}
