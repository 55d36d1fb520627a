package control

import "context"

// Stats is what the process of one instance has used.
type Stats struct {
	Name    string             `json:"name"`
	WID     int                `json:"wid"`
	PID     int                `json:"pid"`               // 0: it has no process, and all else is 0
	Uptime  float64            `json:"uptime"`            // seconds since it was spawned
	CPU     float64            `json:"cpu"`               // seconds, user and system
	RSS     int64              `json:"rss"`               // bytes resident
	Figures map[string]float64 `json:"figures,omitempty"` // of its extended_stats hook
	Problem string             `json:"problem,omitempty"` // why there are none, though it has the hook
}

// Stats asks what the processes of the named instances have used, and for the figures of their extended_stats hooks, which are run.
func (c *Client) Stats(ctx context.Context, names []string) ([]Stats, error) {
	all, err := ask[[]Stats](ctx, c, get(pathOf(names, "stats"), nil))
	if err != nil {
		return nil, err
	}
	return *all, nil
}
