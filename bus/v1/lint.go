package v1

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Role says who stands at an end of a link.
type Role uint8

// The closed set of Role.
const (
	Nobody Role = iota // no satellite has that name
	Ours               // dsatd stands there: orchester, tracker, and satellites that do not speak this protocol
	Theirs             // processes that speak it
)

// Table is all links of a topology.
type Table struct {
	Links     map[string]string // endpoint, a template, by name of the link
	Variables map[string]string // of the templates
	Dir       string            // relative paths of ipc are below it
	Expose    bool              // dsatd may bind endpoints that others than this machine can reach
	Role      func(name string) Role
	Instances func(name string) int // processes of one of theirs; nil: one each
}

// Planned is a link that can be opened.
type Planned struct {
	Link
	Endpoint Endpoint
	End      string // where dsatd stands; "" when it is none of its: two of theirs talk directly
	Bind     bool   // dsatd binds
}

// Socket is the scheme of dsatd's socket.
func (p *Planned) Socket() Scheme { return p.Of(p.End) }

// Peer is the end where dsatd is not.
func (p *Planned) Peer() string {
	if p.End == p.Src {
		return p.Dst
	}
	return p.Src
}

// Problem is what is wrong with one link, or worth knowing.
type Problem struct {
	Link   string
	InName bool // else in its endpoint
	Note   bool // allowed
	Flaw
}

// linter gathers problems.
type linter struct {
	Table
	plan     []Planned
	problems []Problem
}

// Lint finds every trap in a table of links, and what is to be opened: all that has no problem but notes. Both are in order of the names.
func Lint(t Table) ([]Planned, []Problem) {
	l := &linter{Table: t}
	for _, name := range slices.Sorted(maps.Keys(t.Links)) {
		l.one(name)
	}
	l.spellings()
	l.binders()
	l.readers()
	l.writers()
	return l.plan, l.problems
}

func (l *linter) add(name string, f *Flaw) {
	l.problems = append(l.problems, Problem{Link: name, Flaw: *f})
}

func (l *linter) name(name, hint, format string, args ...any) {
	l.problems = append(l.problems, Problem{Link: name, InName: true, Flaw: Flaw{Text: fmt.Sprintf(format, args...), Hint: hint}})
}

func (l *linter) note(name, format string, args ...any) {
	l.problems = append(l.problems, Problem{Link: name, InName: true, Note: true, Flaw: Flaw{Text: fmt.Sprintf(format, args...)}})
}

// one checks a link by itself and plans it.
func (l *linter) one(name string) {
	link, f := ParseLink(name)
	if f != nil {
		l.problems = append(l.problems, Problem{Link: name, InName: true, Flaw: *f})
	}
	url, f2 := Expand(l.Links[name], l.Variables)
	var e Endpoint
	if f2 == nil {
		if e, f2 = ParseEndpoint(url, l.Dir); f2 != nil && url != l.Links[name] {
			f2.Text, f2.Off = fmt.Sprintf("%s (it becomes %.100q)", f2.Text, url), 0
		}
	}
	if f2 != nil {
		l.add(name, f2)
	}
	if f != nil || f2 != nil || !l.known(link) {
		return
	}
	p := Planned{Link: link, Endpoint: e, End: l.end(link)}
	if p.End != "" && link.Scheme.TwoWay() {
		l.name(name, "dsatd stands at ends of PUSH, PULL, PUB and SUB", "%s: dsatd does not speak %s", name, p.Socket())
		return
	}
	if l.meet(&p) {
		l.plan = append(l.plan, p)
	}
}

// known checks that somebody is at both ends. The master may be on another machine.
func (l *linter) known(link Link) bool {
	for _, end := range [...]string{link.Src, link.Dst} {
		if end != Any && end != Master && l.Role(end) == Nobody {
			l.name(link.Name, "", "%s names %q, and there is no such satellite", link.Name, end)
			return false
		}
	}
	return true
}

// end is where dsatd stands.
func (l *linter) end(link Link) string {
	ours := func(name string) bool { return name != Any && l.Role(name) == Ours }
	switch {
	case ours(link.Src) && !ours(link.Dst):
		return link.Src
	case ours(link.Dst) && !ours(link.Src):
		return link.Dst
	}
	return ""
}

// meet decides who binds.
func (l *linter) meet(p *Planned) bool {
	if p.Src != Any && p.Dst != Any && l.Role(p.Src) == Ours && l.Role(p.Dst) == Ours {
		l.note(p.Name, "%s is not opened: dsatd stands at both ends", p.Name)
		return false
	}
	p.Bind = p.Binds(p.End)
	if !p.SrcBinds && !p.DstBinds {
		if p.End == "" {
			l.name(p.Name, "write the end that binds in capitals", "nobody binds %s: both ends are in lower case", p.Name)
			return false
		}
		p.Bind = true
		l.note(p.Name, "nobody binds %s by the rule of DSAT 0.6, for both ends are in lower case (as 0.5 has them): dsatd binds it, as %s", p.Name, p.End)
	}
	switch b := p.Binder(); {
	case b != "" && b != p.End && l.Instances != nil && l.Role(b) == Theirs && l.Instances(b) > 1:
		l.name(p.Name, "let the other end bind: write "+flipped(p.Link), "%s would be bound by each of the %d processes of %s, and only one can", p.Name, l.Instances(b), b)
		return false
	case p.Bind && !p.Endpoint.Local() && !l.Expose:
		l.add(p.Name, &Flaw{0, fmt.Sprintf("%s: dsatd would bind %s, which others than this machine can reach, and this protocol has no keys", p.Name, p.Endpoint.URL),
			"bind 127.0.0.1, or say expose = true if you know who can reach it"})
		return false
	case p.End != "" && !p.Bind && wildcard(p.Endpoint.Host):
		l.add(p.Name, &Flaw{0, fmt.Sprintf("%s: nobody can connect to %s", p.Name, p.Endpoint.URL), "name the host"})
		return false
	}
	return true
}

func wildcard(host string) bool { return host == "*" || host == "0.0.0.0" || host == "::" }

// flipped is the name of the same link with the other end binding.
func flipped(link Link) string {
	link.SrcBinds, link.DstBinds = !link.SrcBinds, !link.DstBinds
	return link.String()
}

// spellings finds links that differ in capitals only.
func (l *linter) spellings() {
	first := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(l.Links)) {
		k := strings.ToLower(name)
		if other := first[k]; other != "" {
			l.name(name, "take one out", "%s and %s are the same link, written twice", other, name)
			continue
		}
		first[k] = name
	}
}

// binders finds endpoints that two would bind. For ipc the second would take it from the first without a word.
func (l *linter) binders() {
	type holder struct {
		end, name, to string
		socket        Scheme
	}
	by := map[string]holder{}
	for i := range l.plan {
		p := &l.plan[i]
		end := p.Binder()
		if p.Bind {
			end = p.End
		}
		h, taken := by[p.Endpoint.URL]
		if !taken {
			by[p.Endpoint.URL] = holder{end, p.Name, p.To(), p.Of(end)}
			continue
		}
		if h.end == end && h.socket == "PUSH" && p.Of(end) == "PUSH" && h.to != p.To() {
			l.name(p.Name, "give each its own endpoint", "%s and %s would take each other's messages at %s (%s, %s)", h.to, p.To(), p.Endpoint.URL, h.name, p.Name)
		}
		if h.end == end && h.socket != p.Of(end) {
			l.name(p.Name, "give each its own endpoint", "%s is bound as %s (%s) and as %s (%s)", p.Endpoint.URL, h.socket, h.name, p.Of(end), p.Name)
		}
		if h.end != end {
			how := "the second to bind it fails"
			if p.Endpoint.Host == "" {
				how = "the second to bind it takes it from the first without a word"
			}
			l.name(p.Name, "give each its own endpoint", "%s is bound by %s (%s) and by %s (%s): %s", p.Endpoint.URL, h.end, h.name, end, p.Name, how)
		}
	}
}

// readers finds satellites with several inputs, of which DSAT reads one.
func (l *linter) readers() {
	first := map[string]*Planned{}
	for i := range l.plan {
		p := &l.plan[i]
		to := p.To()
		if to == Any || l.Role(to) != Theirs || p.From() == Tracker {
			continue
		}
		other := first[to]
		if other == nil {
			first[to] = p
		} else if other.Endpoint.URL != p.Endpoint.URL {
			l.name(p.Name, "give both links one endpoint, bound by "+to, "a DSAT satellite reads one input, and %s has two: %s (%s) and %s (%s)", to, other.Endpoint.URL, other.Name, p.Endpoint.URL, p.Name)
		}
	}
}

// writers finds satellites with several outputs to one endpoint, of which DSAT keeps the first, and loses what goes to the others.
func (l *linter) writers() {
	type key struct{ from, url string }
	first := map[key]string{}
	for i := range l.plan {
		p := &l.plan[i]
		from := p.From()
		if from == Any || l.Role(from) != Theirs {
			continue
		}
		k := key{from, p.Endpoint.URL}
		if other := first[k]; other != "" {
			l.name(p.Name, "give each its own endpoint", "%s sends to one endpoint by two links, %s and %s: DSAT opens the first only, and fails at the second", from, other, p.Name)
			continue
		}
		first[k] = p.Name
	}
}
