package control

import "context"

// PathLegacy answers GET with Legacy.
const PathLegacy = "/v1/legacy"

// Legacy is the door for satellites of DSAT 0.6, [bus.v1].
type Legacy struct {
	Where string       `json:"where"` // "" where there is none
	Ports []LegacyPort `json:"ports"` // one for each socket
	Steps []LegacyStep `json:"steps"` // the satellites that speak v1
}

// LegacyPort is one socket, and what came and went through it.
type LegacyPort struct {
	Links     []string          `json:"links"`
	Endpoint  string            `json:"endpoint"`
	Socket    string            `json:"socket"` // PUSH, PULL, PUB, SUB
	Bound     bool              `json:"bound"`  // else it connects
	End       string            `json:"end"`    // where dsatd stands: orchester, tracker, or a satellite
	In        uint64            `json:"in"`     // vectors
	Out       uint64            `json:"out"`
	Waiting   int               `json:"waiting"` // received and not admitted, or not sent yet
	Paused    bool              `json:"paused"`  // nothing is read from it, for what waits
	Malformed map[string]uint64 `json:"malformed"`
	Refused   map[string]uint64 `json:"refused"`
	Peers     map[string]uint64 `json:"peers,omitempty"` // malformed and refused, by address
	Last      string            `json:"last,omitempty"`  // why the last one was not taken
}

// LegacyStep is a satellite that speaks v1.
type LegacyStep struct {
	Name    string       `json:"name"`
	Fed     bool         `json:"fed"`     // a link leads to it
	Open    bool         `json:"open"`    // it may be sent something now
	Sent    int          `json:"sent"`    // sent and not acknowledged
	Handled int          `json:"handled"` // acknowledged and not ended
	Doubted int          `json:"doubted"` // of those sent: a process has died that may have had them
	Errors  uint64       `json:"errors"`  // ERRORs
	Late    uint64       `json:"late"`    // reports about what nobody has in hand
	Twice   uint64       `json:"twice"`   // HAPPY_ENDs beyond the first
	Seen    uint64       `json:"seen"`    // reports of one that dsatd sends nothing to, about what others sent it
	Lives   []LegacyLife `json:"lives"`
}

// LegacyLife is a process that speaks v1.
type LegacyLife struct {
	Instance string  `json:"instance"`
	PID      int     `json:"pid"`
	Handled  int     `json:"handled"`
	Silent   float64 `json:"silent_seconds"` // since its last report, or its start
}

// Legacy asks what came and went by [bus.v1].
func (c *Client) Legacy(ctx context.Context) (*Legacy, error) {
	return ask[Legacy](ctx, c, get(PathLegacy, nil))
}
