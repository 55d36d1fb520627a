package control

import "context"

// PathSockets answers GET with Sockets.
const PathSockets = "/v1/sockets"

// Sockets is what dsatd keeps open for satellites.
type Sockets struct {
	Sockets []Socket `json:"sockets"` // in the order of the topology
	Stored  []Stored `json:"stored"`  // of the instances that have left descriptors
}

// Socket is one listening socket: of all satellites that are granted it, or of one instance.
type Socket struct {
	Name       string   `json:"name"`
	Network    string   `json:"network"` // tcp, udp, unix, unixgram, unixpacket
	Address    string   `json:"address"` // host:port, with the port it has, or the path
	State      string   `json:"state"`   // "open"; "on-demand": the next connection starts Listening; "closed": nobody needs it now
	FD         int      `json:"fd"`      // in dsatd; -1 when it is closed
	Instance   string   `json:"instance,omitempty"`
	Satellites []string `json:"satellites"`          // who is granted it
	Holders    []string `json:"holders"`             // instances that have a process with it
	Listening  []string `json:"listening,omitempty"` // instances that the next connection starts
	Waiting    int      `json:"waiting"`             // connections nobody has accepted yet; but for tcp 1 stands for some
	Backlog    int      `json:"backlog"`             // the most that may wait; 0 for datagrams
}

// Stored is what one instance has left with dsatd for its next process (sd_notify, FDSTORE=1).
type Stored struct {
	Instance string   `json:"instance"`
	Names    []string `json:"names"` // of the descriptors, in the order in which they are handed down
}

// Sockets asks for the listening sockets and the descriptor store.
func (c *Client) Sockets(ctx context.Context) (*Sockets, error) {
	return ask[Sockets](ctx, c, get(PathSockets, nil))
}
