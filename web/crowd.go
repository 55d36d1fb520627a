package web

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// mostInside is how many connections one door has at once. Descriptors are what processes are made with: nobody who knocks may use them up.
const mostInside = 256

// crowd bounds the connections of one door. When there are too many, who has said nothing for the longest time is let go; when all are
// being answered, the newcomer is told to come back.
type crowd struct {
	most int

	mu     sync.Mutex
	inside map[net.Conn]time.Time // since when it is silent; zero: it is being answered
}

func newCrowd(most int) *crowd { return &crowd{most: most, inside: make(map[net.Conn]time.Time)} }

// state is told by the HTTP server.
func (c *crowd) state(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		if len(c.inside) >= c.most && !c.letGo() {
			_, _ = conn.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")) // a courtesy
			_ = conn.Close()
			return
		}
		c.inside[conn] = time.Now()
	case http.StateIdle:
		c.inside[conn] = time.Now()
	case http.StateActive:
		c.inside[conn] = time.Time{}
	case http.StateClosed, http.StateHijacked:
		delete(c.inside, conn)
	}
}

// letGo closes the one that is silent for the longest time.
func (c *crowd) letGo() bool {
	var longest net.Conn
	for conn, since := range c.inside {
		if !since.IsZero() && (longest == nil || since.Before(c.inside[longest])) {
			longest = conn
		}
	}
	if longest == nil {
		return false
	}
	delete(c.inside, longest)
	_ = longest.Close() // the server notes its end
	return true
}
