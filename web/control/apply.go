package control

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// ChangeRequest is the body of POST /v1/plan and /v1/apply. The zero value is "the same files again".
type ChangeRequest struct {
	Files      []string `json:"files,omitempty"`       // absolute paths on the daemon's machine, later ones win; empty: those it has
	Edits      []Edit   `json:"edits,omitempty"`       // changes at run time, laid over the files in this order
	Forget     bool     `json:"forget,omitempty"`      // what was changed at run time before is forgotten
	Discard    []string `json:"discard,omitempty"`     // satellites that may be removed with what waits for them; "*" is all
	NoRollback bool     `json:"no_rollback,omitempty"` // what has failed stays as it is
	Timeout    string   `json:"timeout,omitempty"`     // like "30s": for each instance to become ready; empty: as long as its deadlines allow
}

// Edit is one change at run time.
type Edit struct {
	Op        string `json:"op"` // set, unset, add, remove, file; of links: link, unlink, move, mirror, unmirror, relink (see route.go)
	Satellite string `json:"satellite,omitempty"`
	Key       string `json:"key,omitempty"`   // of set and unset: path within the satellite; unset without: all of it
	Value     string `json:"value,omitempty"` // of set: TOML, or a text that is a string; of file: absolute path of a further file

	Percent *float64 `json:"percent,omitempty"` // of move
}

// Plan is what a change does, or would do.
type Plan struct {
	Changes    int            `json:"changes"` // 0: nothing to do
	Satellites []Planned      `json:"satellites"`
	Daemon     []PlannedValue `json:"daemon,omitempty"`
	Refused    []PlannedValue `json:"refused,omitempty"` // cannot change while dsatd runs
	Blocked    []string       `json:"blocked,omitempty"` // why it cannot be applied as it is, a sentence each
	Notes      []string       `json:"notes,omitempty"`
}

// Planned is one satellite of a Plan.
type Planned struct {
	Name    string         `json:"name"`
	From    string         `json:"from,omitempty"`    // of a renamed one: its former name
	Verdict string         `json:"verdict"`           // unchanged, added, removed, changed, renamed
	Restart bool           `json:"restart"`           // its processes are started anew
	Stopped bool           `json:"stopped,omitempty"` // it is stopped, and stays so
	Keys    []PlannedValue `json:"keys,omitempty"`
	PIDs    []int          `json:"pids,omitempty"`    // processes that stay
	Waiting int            `json:"waiting,omitempty"` // messages that wait for one that is removed or renamed
}

// PlannedValue is one key with another value, in TOML; "" is "not there".
type PlannedValue struct {
	Key     string `json:"key"`
	Old     string `json:"old"`
	New     string `json:"new"`
	Restart bool   `json:"restart"`
}

// Applied is the answer to POST /v1/apply: what was done, and how the instances are that it touched.
type Applied struct {
	Plan      Plan              `json:"plan"`
	Instances []ChangedInstance `json:"instances"`
}

// Setting is one key of a satellite, the value in force, and where that comes from.
type Setting struct {
	Satellite string `json:"satellite"`
	Key       string `json:"key"`
	Value     string `json:"value"` // TOML
	Origin    string `json:"origin"`
}

// Runtime is what was changed at run time.
type Runtime struct {
	TOML    string   `json:"toml"` // what was set, as a file would say it
	Removed []string `json:"removed,omitempty"`
	Files   []string `json:"files,omitempty"` // further files
}

// The paths of changes.
const (
	PathPlan    = "/v1/plan"
	PathApply   = "/v1/apply"
	PathConfig  = "/v1/config/"
	PathRuntime = "/v1/runtime"
)

// Plan asks what a change would do. Nothing is changed.
func (c *Client) Plan(ctx context.Context, what ChangeRequest) (*Plan, error) {
	req, err := changeRequest(PathPlan, what)
	if err != nil {
		return nil, err
	}
	return ask[Plan](ctx, c, req)
}

// Apply changes the topology, all or nothing, and returns when that is done or undone.
func (c *Client) Apply(ctx context.Context, what ChangeRequest) (*Applied, error) {
	req, err := changeRequest(PathApply, what)
	if err != nil {
		return nil, err
	}
	return askLong[Applied](ctx, c, req)
}

func changeRequest(path string, what ChangeRequest) (request, error) {
	body, err := json.Marshal(what)
	if err != nil {
		return request{}, &Error{Kind: KindInvalid, Message: "cannot ask for a change: " + err.Error()}
	}
	return request{method: http.MethodPost, path: path, body: body, header: http.Header{"Content-Type": {"application/json"}}}, nil
}

// Config asks for the values in force of satellites, by name or glob.
func (c *Client) Config(ctx context.Context, names string) ([]Setting, error) {
	settings, err := ask[[]Setting](ctx, c, get(PathConfig+url.PathEscape(names), nil))
	if err != nil {
		return nil, err
	}
	return *settings, nil
}

// Runtime asks what was changed at run time.
func (c *Client) Runtime(ctx context.Context) (*Runtime, error) {
	return ask[Runtime](ctx, c, get(PathRuntime, nil))
}
