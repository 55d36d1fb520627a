package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Link says that what a satellite emits goes To another, if it is meant.
type Link struct {
	To       string
	When     string   // condition on the message; "": every message
	OneIn    int      // takes the first of so many that fulfil When, and every such one after it; 0 or 1: all
	Sample   float64  // takes so many percent of the messages, by a hash: the same ones always; 0 or 100: all
	Fallback bool     // takes what no other link took
	Errors   bool     // takes a message whose condition cannot be told
	Key      string   // expression: in place of the receiver's work.key; "": that one
	Move     Move     // so much of what it takes goes elsewhere
	Mirror   []string // these get a copy of what it takes
}

// Move sends a share of what a link takes to another satellite: the same messages always, and with a key all those of one key.
type Move struct {
	To      string // "": nothing moves
	Percent float64
}

// Plain reports that the link takes every message, and does nothing else.
func (l Link) Plain() bool {
	return !l.Conditional() && l.Key == "" && l.Move.To == "" && len(l.Mirror) == 0
}

// Conditional reports that there may be messages it does not take.
func (l Link) Conditional() bool {
	return l.When != "" || l.OneIn > 1 || l.Sample > 0 && l.Sample < 100 || l.Fallback
}

// Ends are the satellites that may get messages by the link, its own first.
func (l Link) Ends() []string {
	all := []string{l.To}
	for _, name := range append([]string{l.Move.To}, l.Mirror...) {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// Route is which of its links take a message of a satellite.
type Route struct {
	Mode RouteMode
	By   string // expression, of RouteHash

	Member string // of the answers of a filter that speaks json: it names the links they go to; "": none does
}

// RouteMode is how links are chosen.
type RouteMode string

// The closed set of RouteMode.
const (
	RouteAll   RouteMode = "all"   // all that match (default)
	RouteFirst RouteMode = "first" // the first that matches, in the order of the file
	RouteHash  RouteMode = "hash"  // one of those that match, by a hash: equal values of By go to the same one
)

// Sends are the satellites that may get messages of s, each once, in the order of its links.
func (s *Satellite) Sends() []string {
	var all []string
	for _, l := range s.To {
		for _, name := range l.Ends() {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// MayLose reports that a message of s can match none of its links, by their form.
func (s *Satellite) MayLose() bool {
	return len(s.To) > 0 && !slices.ContainsFunc(s.To, func(l Link) bool {
		return !l.Conditional() || l.Fallback && !Link{When: l.When, OneIn: l.OneIn, Sample: l.Sample}.Conditional()
	})
}

// moved is the link with the new names of satellites.
func (l Link) moved(now func(string) string) Link {
	l.To = now(l.To)
	if l.Move.To != "" {
		l.Move.To = now(l.Move.To)
	}
	l.Mirror = slices.Clone(l.Mirror)
	for i := range l.Mirror {
		l.Mirror[i] = now(l.Mirror[i])
	}
	return l
}

// arrow is a link as it is drawn.
type arrow struct{ to, label string }

func (s *Satellite) arrows() []arrow {
	var all []arrow
	for _, l := range s.To {
		var words []string
		if l.When != "" {
			words = append(words, l.When)
		}
		if l.OneIn > 1 {
			words = append(words, fmt.Sprintf("one in %d", l.OneIn))
		}
		if l.Sample > 0 {
			words = append(words, fmt.Sprintf("%g %%", l.Sample))
		}
		if l.Fallback {
			words = append(words, "fallback")
		}
		all = append(all, arrow{l.To, strings.Join(words, ", ")})
		if l.Move.To != "" {
			all = append(all, arrow{l.Move.To, fmt.Sprintf("%g %% of %s", l.Move.Percent, l.To)})
		}
		for _, name := range l.Mirror {
			all = append(all, arrow{name, "copy of " + l.To})
		}
	}
	return all
}

func (a arrow) dot() string {
	if a.label == "" {
		return ""
	}
	return fmt.Sprintf(" [label=%q]", a.label)
}

// mermaid has words for the characters that are its own.
func (a arrow) mermaid() string {
	if a.label == "" {
		return ""
	}
	return `|"` + strings.NewReplacer(`"`, "#quot;", "|", "#124;", "<", "#lt;", ">", "#gt;").Replace(a.label) + `"|`
}

func (a arrow) text() string {
	if a.label == "" {
		return a.to
	}
	return a.to + " [" + a.label + "]"
}
