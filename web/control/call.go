package control

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// PathCall is where messages are sent whose answer is waited for.
//
//	POST /v1/call/{step}?codec=json&timeout=30s     body is the payload; Sent. ?lasting: the task goes on when the wait is over.
//	                                                ?stream: CallPart per line; ?detach: at once, and the reply is kept
//	GET  /v1/replies/{id}?wait=30s                  Sent: what came of a call with ?detach
//	POST /v1/replies/{id}/close                     {}
const (
	PathCall    = "/v1/call/"
	PathReplies = "/v1/replies/"
)

// CallPart is one line of the answer to a call with ?stream: outputs as they come, and then the end, or why there is none.
type CallPart struct {
	Result *Body  `json:"result,omitempty"`
	End    *Sent  `json:"end,omitempty"`
	Error  *Error `json:"error,omitempty"`
}

// CallRequest is what is asked of a step.
type CallRequest struct {
	Step    string
	Codec   string // "": the daemon's default
	Payload []byte
	Timeout time.Duration // then the answer is "expired"; 0: the daemon's default, 30 s
	Lasting bool          // the task goes on when nobody waits for it any more
	Session string        // all messages of one go to the same instance, one after the other; Sent.State is "lost" when that is gone
	Detach  bool          // the answer is the id of the reply: see Reply. Timeout is the deadline of the task, 0: none
}

func (q *CallRequest) request() request {
	query := waiting("timeout", q.Timeout)
	if q.Codec != "" {
		query.Set("codec", q.Codec)
	}
	if q.Session != "" {
		query.Set("session", q.Session)
	}
	if q.Detach {
		query.Set("detach", "1")
	}
	if q.Lasting {
		query.Set("lasting", "1")
	}
	req := post(PathCall+url.PathEscape(q.Step), query)
	req.body = q.Payload
	req.header = http.Header{"Content-Type": {"application/octet-stream"}}
	return req
}

// Call hands a payload to a step and returns the end of its task; Sent.State is done, failed, expired or lost. When the context ends the
// daemon forgets the call, and unless it is lasting ends its task.
func (c *Client) Call(ctx context.Context, q CallRequest) (*Sent, error) {
	return askLong[Sent](ctx, c, q.request())
}

// CallStream is Call, with every output handed over as it comes; those are not in Sent.Results.
func (c *Client) CallStream(ctx context.Context, q CallRequest, each func(*Body) error) (*Sent, error) {
	req := q.request()
	req.query.Set("stream", "1")
	var end *Sent
	err := c.long(ctx, func(ctx context.Context) (err error) {
		end, err = c.parts(ctx, req, each)
		return err
	})
	return end, err
}

// parts reads the lines of a streamed call up to its end.
func (c *Client) parts(ctx context.Context, req request, each func(*Body) error) (*Sent, error) {
	answer, err := c.open(ctx, req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	in := json.NewDecoder(answer.Body) // a line may be longer than those of other streams
	for {
		var line json.RawMessage
		var part CallPart
		if err := in.Decode(&line); err != nil {
			return nil, c.transport(ctx, err)
		}
		if err := json.Unmarshal(line, &part); err != nil {
			return nil, c.garbled(err)
		}
		if part.Error != nil {
			return nil, part.Error
		}
		if err := c.pass(line); err != nil || part.End != nil {
			return part.End, err
		}
		if part.Result != nil {
			if err := each(part.Result); err != nil {
				return nil, err
			}
		}
	}
}

// Reply asks what came of a detached call. With a wait of more than 0 it returns when that has ended or the wait is over (then Sent.State is
// "running").
func (c *Client) Reply(ctx context.Context, id string, wait time.Duration) (*Sent, error) {
	req := get(PathReplies+url.PathEscape(id), waiting("wait", wait))
	if wait > 0 {
		return askLong[Sent](ctx, c, req)
	}
	return ask[Sent](ctx, c, req)
}

// CloseReply forgets the reply to a detached call. Doing it twice is no error.
func (c *Client) CloseReply(ctx context.Context, id string) error {
	return c.do(ctx, post(PathReplies+url.PathEscape(id)+"/close", nil), nil)
}
