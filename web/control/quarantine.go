package control

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
)

// Aside chooses messages in quarantine: of a step, and set aside for a reason that matches a regular expression (RE2). Zero is all.
type Aside struct {
	Step   string
	Reason string
}

func (a Aside) values() url.Values {
	query := url.Values{}
	if a.Step != "" {
		query.Set("step", a.Step)
	}
	if a.Reason != "" {
		query.Set("reason", a.Reason)
	}
	return query
}

// Quarantine lists the messages set aside.
func (c *Client) Quarantine(ctx context.Context, which Aside) ([]Quarantined, error) {
	list, err := ask[[]Quarantined](ctx, c, get(PathQuarantine, which.values()))
	if err != nil {
		return nil, err
	}
	return *list, nil
}

// QuarantineGet asks for one message with its payload.
func (c *Client) QuarantineGet(ctx context.Context, id string) (*Quarantined, error) {
	return ask[Quarantined](ctx, c, get(PathQuarantine+"/"+url.PathEscape(id), nil))
}

// QuarantineExport reads messages with their payloads, one after the other. Breaking off the loop closes the connection.
func (c *Client) QuarantineExport(ctx context.Context, which Aside) iter.Seq2[Quarantined, error] {
	return func(yield func(Quarantined, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answer, err := c.openStream(ctx, get(PathQuarantine+"/export", which.values()))
		if err != nil {
			yield(Quarantined{}, err)
			return
		}
		defer answer.Body.Close()
		lines := json.NewDecoder(answer.Body) // a line may be longer than any bound of a scanner
		for lines.More() {
			var line json.RawMessage
			var m Quarantined
			if err := lines.Decode(&line); err != nil {
				yield(m, c.transport(ctx, err))
				return
			}
			if err := json.Unmarshal(line, &m); err != nil {
				yield(m, c.garbled(err))
				return
			}
			if !yield(m, c.pass(line)) {
				return
			}
		}
		if _, err := lines.Token(); notEOF(err) != nil {
			yield(Quarantined{}, c.transport(ctx, err))
		}
	}
}

// QuarantineEdit gives a message another payload, written in the named codec; "": in the message's own.
func (c *Client) QuarantineEdit(ctx context.Context, id, codec string, payload []byte) (*Quarantined, error) {
	req := post(PathQuarantine+"/"+url.PathEscape(id)+"/edit", url.Values{})
	req.body, req.header = payload, http.Header{"Content-Type": {"application/octet-stream"}}
	if codec != "" {
		req.query.Set("codec", codec)
	}
	return ask[Quarantined](ctx, c, req)
}

// QuarantineRetry puts a message back at the end of its queue. The id may be "all", then of those chosen.
func (c *Client) QuarantineRetry(ctx context.Context, id string, which Aside) (*Changed, error) {
	return ask[Changed](ctx, c, post(PathQuarantine+"/"+url.PathEscape(id)+"/retry", which.values()))
}

// QuarantineDrop ends a message for good. The id may be "all", then of those chosen.
func (c *Client) QuarantineDrop(ctx context.Context, id string, which Aside) (*Changed, error) {
	return ask[Changed](ctx, c, post(PathQuarantine+"/"+url.PathEscape(id)+"/drop", which.values()))
}
