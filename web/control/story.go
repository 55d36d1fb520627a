package control

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// Death is the end of one life of an instance. Durations are seconds. Bytes and times of the machine are missing where the
// kernel told nothing.
type Death struct {
	Name        string    `json:"name"`
	WID         int       `json:"wid"`
	Incarnation uint64    `json:"incarnation"`
	PID         int       `json:"pid,omitempty"` // missing: it could not be spawned
	Time        time.Time `json:"time"`
	Asked       bool      `json:"asked"`            // somebody wanted its end: a stop, a restart
	Motive      string    `json:"motive,omitempty"` // who, where dsat itself wanted it: recycling, or its group
	Cause       string    `json:"cause"`            // "exit code 3", "killed by signal 9 (SIGKILL)"
	Code        int       `json:"code"`
	Signal      int       `json:"signal,omitempty"`
	Core        bool      `json:"core,omitempty"` // a core was dumped
	Uptime      float64   `json:"uptime"`
	User        float64   `json:"user"`            // on a processor, in its own code
	System      float64   `json:"system"`          // the same, in the kernel
	MaxRSS      int64     `json:"max_rss"`         // bytes: most memory it ever had
	Usage       string    `json:"usage,omitempty"` // "": User, System, MaxRSS are exact; "at_most": MaxRSS is, dsatd's own before the exec counts; "at_least": as last seen
	Last        []string  `json:"last,omitempty"`
}

// Why tells in plain sentences why an instance or a queue is as it is.
type Why struct {
	Name  string   `json:"name"`            // "cpu:0" is an instance, "cpu" the queue of that step, "task 7.40" a task
	State string   `json:"state,omitempty"` // of an instance or a task
	Text  []string `json:"text"`            // sentences: what, since when, what it waits for, what comes next
}

// History asks for the newest deaths of the named instances, oldest first, at most 20 of each; also those of earlier daemons.
func (c *Client) History(ctx context.Context, names []string) ([]Death, error) {
	deaths, err := ask[[]Death](ctx, c, get(pathOf(names, "history"), nil))
	if err != nil {
		return nil, err
	}
	return *deaths, nil
}

// Why asks why the named instances, and the queues of named satellites, are as they are.
func (c *Client) Why(ctx context.Context, names []string) ([]Why, error) {
	why, err := ask[[]Why](ctx, c, get(pathOf(names, "why"), nil))
	if err != nil {
		return nil, err
	}
	return *why, nil
}

// WhyTask asks why a task is as it is.
func (c *Client) WhyTask(ctx context.Context, id string) (*Why, error) {
	return ask[Why](ctx, c, get(PathTasks+url.PathEscape(id)+"/why", nil))
}

// Wait returns when all named instances are in a state: running, stopped, exited or fatal. It asks once; the daemon answers when it
// is so, or with an error of KindTimeout. A timeout of 0 waits as long as the context.
func (c *Client) Wait(ctx context.Context, names []string, state string, timeout time.Duration) (*Change, error) {
	query := waiting("timeout", timeout)
	query.Set("for", state)
	return askLong[Change](ctx, c, get(pathOf(names, "wait"), query))
}

func pathOf(names []string, verb string) string {
	return PathSatellites + url.PathEscape(strings.Join(names, ",")) + "/" + verb
}
