package topology

import (
	"slices"
	"time"
)

// Group is satellites that fall and rise together.
type Group struct {
	Name     string
	Members  []string // names of satellites, in the order in which the group starts them: as the file says, but what one needs before it
	Strategy Strategy
	Limit    int           // at most so many failures of members ...
	Window   time.Duration // ... in this sliding window, then the group gives up; Limit 0 is without limit
	Then     Ending        // what follows then; EndStop stops all members
}

// Strategy says who is started anew when the process of a member failed and its policy starts it again.
type Strategy string

// The closed set of Strategy.
const (
	OneForOne  Strategy = "one_for_one"  // the instance itself (default)
	OneForAll  Strategy = "one_for_all"  // every instance of every member
	RestForOne Strategy = "rest_for_one" // the instance itself, and the members that start after its satellite
)

// Ending is what follows the end of a satellite, or the giving up of a group.
type Ending struct {
	Kind EndingKind
	Code int // of the daemon, for EndExit: 0 to 255, or OwnCode
}

// OwnCode is the exit code of the process that caused the end: 128 + the number of the signal that ended it. Where there is none,
// or where it failed with 0, it is 1.
const OwnCode = -1

// EndingKind is the closed set of what an Ending does.
type EndingKind string

const (
	EndStay EndingKind = ""           // nothing: it stays as it is (default of satellites)
	EndStop EndingKind = "stop-group" // all members of the group are stopped, in reverse order (default of groups)
	EndExit EndingKind = "exit"       // the daemon ends in good order
)

// Recycle says when a process that works is replaced by a new one: it finishes what it has in hand, as in any restart.
type Recycle struct {
	Age      time.Duration // it has run for so long; 0: never
	Memory   int64         // it, with all it has forked, takes so many bytes; 0: never
	Messages int           // it has answered so many messages, a source has emitted so many; 0: never
	Jitter   float64       // share by which Age and Messages are spread either way, anew for each process; 0 to 1
	Every    time.Duration // how often the memory is looked at
}

// Group returns the group of that name, or nil.
func (t *Topology) Group(name string) *Group {
	for _, g := range t.Groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// GroupOf returns the group that a satellite is a member of, or nil.
func (t *Topology) GroupOf(satellite string) *Group {
	for _, g := range t.Groups {
		if slices.Contains(g.Members, satellite) {
			return g
		}
	}
	return nil
}

// startOrder sorts members: as they are listed, but each after those that it needs or follows, over any number of steps.
func (t *Topology) startOrder(members []string) []string {
	g := t.starts()
	at := make(map[string]int, len(t.Satellites))
	for i, s := range t.Satellites {
		at[s.Name] = i
	}
	var sorted []string
	seen := make(map[string]bool, len(members)) // also ends cycles, which are refused elsewhere
	var place func(name string)
	place = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		before := g.reach(at[name])
		for _, other := range members {
			if before[at[other]] {
				place(other)
			}
		}
		sorted = append(sorted, name)
	}
	for _, name := range members {
		place(name)
	}
	return sorted
}

// reach is all nodes to which a way of at least one edge leads.
func (g digraph) reach(from int) []bool {
	seen := make([]bool, len(g.out))
	queue := []int{from}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		for _, w := range g.out[v] {
			if !seen[w] {
				seen[w] = true
				queue = append(queue, w)
			}
		}
	}
	return seen
}
