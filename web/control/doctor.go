package control

import (
	"context"
	"fmt"
	"strings"
)

// Finding is one thing a doctor looked at.
type Finding struct {
	Name  string `json:"name"`
	State string `json:"state"`        // ok, warn, bad
	Text  string `json:"text"`         // what was found
	Do    string `json:"do,omitempty"` // what to do about it
}

// The closed set of Finding.State.
const (
	FindingOK   = "ok"
	FindingWarn = "warn"
	FindingBad  = "bad"
)

// Doctor asks the daemon to look at its machine and installation.
func (c *Client) Doctor(ctx context.Context) ([]Finding, error) {
	found, err := ask[[]Finding](ctx, c, get(PathDoctor, nil))
	if err != nil {
		return nil, err
	}
	return *found, nil
}

// FindingsText is for people: a line each, and below what is not well what to do.
func FindingsText(found []Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%-4s  %-16s  %s\n", f.State, f.Name, f.Text)
		if f.Do != "" {
			fmt.Fprintf(&b, "%24sdo: %s\n", "", f.Do)
		}
	}
	return b.String()
}
