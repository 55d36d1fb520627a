package control

import (
	"context"
	"time"
)

// PathBoot answers GET with Boot.
const PathBoot = "/v1/boot"

// Boot is how the start of what starts with the daemon went, or goes. Times are seconds from Began.
type Boot struct {
	Began            time.Time      `json:"began,omitzero"` // zero: it has not begun yet
	Total            float64        `json:"total"`          // until the last of Instances was ready; so far
	Over             bool           `json:"over"`           // all are settled
	StartConcurrency int            `json:"start_concurrency,omitempty"`
	Chain            []string       `json:"chain"`     // the waits that determined the total: the last that was ready, who that waited for last, and so on
	Instances        []BootInstance `json:"instances"` // in the order of the topology
}

// BootInstance is one instance up to the first time it was ready. What is nil has not come.
type BootInstance struct {
	Name    string     `json:"name"`
	State   string     `json:"state"` // ready, done, failed, waiting, starting, taken back
	Asked   float64    `json:"asked"`
	Opened  *float64   `json:"opened,omitempty"` // nothing held it up any more
	Spawned *float64   `json:"spawned,omitempty"`
	Ready   *float64   `json:"ready,omitempty"`
	Took    float64    `json:"took"`             // from Opened to Ready
	Spawns  int        `json:"spawns,omitempty"` // processes it took; more than 1: the others failed
	Waits   []BootWait `json:"waits,omitempty"`
}

// BootWait is something that held an instance up.
type BootWait struct {
	For   string   `json:"for"` // "csv:ready", "csv:started" (it comes after that), "place" (see start_concurrency), "group"
	By    []string `json:"by,omitempty"`
	From  float64  `json:"from"`
	Until *float64 `json:"until,omitempty"` // nil: it waits still
}

// Boot asks how the start went.
func (c *Client) Boot(ctx context.Context) (*Boot, error) {
	return ask[Boot](ctx, c, get(PathBoot, nil))
}
