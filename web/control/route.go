package control

import "context"

// PathRoutes is the table of routes.
const PathRoutes = "/v1/routes"

// The operations on links are Edits of a satellite's `to`:
//
//	link      Key is LINK or LINK.OPTION, Value the TOML of its options or of one; a link that is not there is added
//	unlink    Key is LINK
//	move      Key is LINK, Value another satellite, Percent how much of the link goes there; 0 is nothing, as before
//	mirror    Key is LINK, Value a satellite that gets a copy of what the link takes
//	unmirror  the same, which gets none any more
//	relink    no Key: the links are those of the files again

// Routes is where messages go, as one table.
type Routes struct {
	Version uint64  `json:"version"` // how often links were changed since the daemon began; sessions are told each time
	Steps   []Route `json:"steps"`
}

// Route is the links of one step that emits.
type Route struct {
	Step      string `json:"step"`
	Mode      string `json:"mode"` // all, first, hash
	By        string `json:"by,omitempty"`
	Origin    string `json:"origin,omitempty"` // of the links: FILE:LINE, or "run time"
	Unrouted  uint64 `json:"unrouted"`         // messages that took no link
	Failed    uint64 `json:"failed,omitempty"` // messages whose "by" could not be told
	LastError string `json:"last_error,omitempty"`
	Links     []Link `json:"links"`
}

// Link is one link, its options, and what went over it.
type Link struct {
	To       string   `json:"to"`
	When     string   `json:"when,omitempty"`
	OneIn    int      `json:"one_in,omitempty"`
	Sample   float64  `json:"sample,omitempty"` // percent
	Fallback bool     `json:"fallback,omitempty"`
	Errors   bool     `json:"errors,omitempty"` // takes messages whose condition cannot be told
	Key      string   `json:"key,omitempty"`
	MoveTo   string   `json:"move_to,omitempty"`
	Percent  float64  `json:"percent,omitempty"` // of what it takes goes to move_to
	Mirror   []string `json:"mirror,omitempty"`

	Taken     uint64            `json:"taken"`   // messages that went to its end
	Skipped   uint64            `json:"skipped"` // messages its conditions have kept from it
	Failed    uint64            `json:"failed"`  // messages whose condition or key could not be told
	LastError string            `json:"last_error,omitempty"`
	Others    map[string]uint64 `json:"others,omitempty"` // messages that went to move_to and mirror
}

// Routes asks where messages go.
func (c *Client) Routes(ctx context.Context) (*Routes, error) {
	return ask[Routes](ctx, c, get(PathRoutes, nil))
}
