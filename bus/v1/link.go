package v1

import (
	"fmt"
	"slices"
	"strings"
)

// Any is the end of a link that stands for everybody.
const Any = "any"

// Tracker and Master are names with a meaning of their own, as Orchester is.
const (
	Tracker = "tracker"
	Master  = "master"
)

// Scheme is a kind of socket.
type Scheme string

// mates is what the other end has.
var mates = map[Scheme]Scheme{"PUB": "SUB", "SUB": "PUB", "PUSH": "PULL", "PULL": "PUSH", "REQ": "REP", "REP": "REQ", "PAIR": "PAIR"}

var schemes = []string{"PUB", "SUB", "PUSH", "PULL", "REQ", "REP", "PAIR"}

// Mate is the scheme at the other end, "" for one that is unknown.
func (s Scheme) Mate() Scheme { return mates[s] }

// Sends reports whether messages leave this socket; false for those that talk both ways.
func (s Scheme) Sends() bool { return s == "PUB" || s == "PUSH" }

// TwoWay reports whether messages go both ways.
func (s Scheme) TwoWay() bool { return s == "REQ" || s == "REP" || s == "PAIR" }

// Link is the name of a link, taken apart. Names of ends are in lower case.
type Link struct {
	Name               string // as it is written
	Scheme             Scheme // of Src
	Src, Dst           string
	SrcBinds, DstBinds bool
}

// From is the end whose messages go to To. For links that talk both ways it is Src.
func (l Link) From() string {
	if l.Scheme.Sends() || l.Scheme.TwoWay() {
		return l.Src
	}
	return l.Dst
}

// To is the end that receives.
func (l Link) To() string {
	if l.Scheme.Sends() || l.Scheme.TwoWay() {
		return l.Dst
	}
	return l.Src
}

// Of is the scheme of the socket that an end has.
func (l Link) Of(end string) Scheme {
	if end == l.Src {
		return l.Scheme
	}
	return l.Scheme.Mate()
}

// Binds reports whether an end binds.
func (l Link) Binds(end string) bool { return end == l.Src && l.SrcBinds || end == l.Dst && l.DstBinds }

// Binder is the end that binds, "" when none does, or both.
func (l Link) Binder() string {
	switch {
	case l.SrcBinds && !l.DstBinds:
		return l.Src
	case l.DstBinds && !l.SrcBinds:
		return l.Dst
	}
	return ""
}

// String is the name in the spelling that says what l says.
func (l Link) String() string {
	end := func(name string, binds bool) string {
		if binds {
			return strings.ToUpper(name)
		}
		return name
	}
	return string(l.Scheme) + "_" + end(l.Src, l.SrcBinds) + "_" + end(l.Dst, l.DstBinds)
}

// Flaw is what is wrong with a text: where, what, and what can be done.
type Flaw struct {
	Off  int // byte of the text
	Text string
	Hint string
}

func (f *Flaw) Error() string { return f.Text }

// ParseLink takes the name of a link apart.
func ParseLink(name string) (Link, *Flaw) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 {
		f := &Flaw{Text: fmt.Sprintf("%.60q is no name of a link: it wants SCHEME_source_destination, with exactly two _", name), Hint: "as in PUSH_orchester_CPU; the end in capitals binds"}
		if len(parts) > 3 {
			f.Off = len(parts[0]) + len(parts[1]) + 2 + len(parts[2])
			f.Hint = "names of satellites cannot hold a _ here: DSAT splits at each"
		}
		return Link{}, f
	}
	l := Link{Name: name, Scheme: Scheme(parts[0])}
	if l.Scheme.Mate() == "" {
		f := &Flaw{Text: fmt.Sprintf("%.60q is no scheme", parts[0]), Hint: "it is one of " + strings.Join(schemes, ", ")}
		if slices.Contains(schemes, strings.ToUpper(parts[0])) {
			f.Hint = "write " + strings.ToUpper(parts[0]) + ": upper and lower case matter"
		}
		return Link{}, f
	}
	var f *Flaw
	if l.Src, l.SrcBinds, f = parseEnd(parts[1], len(parts[0])+1); f != nil {
		return Link{}, f
	}
	if l.Dst, l.DstBinds, f = parseEnd(parts[2], len(parts[0])+len(parts[1])+2); f != nil {
		return Link{}, f
	}
	return l, pair(l)
}

// parseEnd reads one end: all in capitals binds.
func parseEnd(s string, off int) (name string, binds bool, f *Flaw) {
	name = strings.ToLower(s)
	switch upper := strings.ToUpper(s); {
	case s == "":
		return "", false, &Flaw{off, "the name of a link has an end without a name", "write SCHEME_source_destination"}
	case !plain(name):
		return "", false, &Flaw{off, fmt.Sprintf("%.60q is no name of a satellite", s), "letters, digits and - only"}
	case s == name && s == upper:
		return "", false, &Flaw{off, fmt.Sprintf("%q has no letters: nobody can tell whether it binds", s), "the end in capitals binds"}
	case s == upper:
		binds = true
	case s != name:
		return "", false, &Flaw{off, fmt.Sprintf("%.60q is neither in capitals nor in lower case", s), fmt.Sprintf("write %s if it binds, %s if it connects", upper, name)}
	}
	if name != Any && strings.Contains(name, Any) {
		return "", false, &Flaw{off, fmt.Sprintf("DSAT 0.6 overlooks every link with the letters any in it, as in %q", s), "give the satellite another name"}
	}
	return name, binds, nil
}

func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(name) <= 63
}

// pair checks the two ends together.
func pair(l Link) *Flaw {
	off := len(l.Scheme) + 1
	switch {
	case l.Src == l.Dst:
		return &Flaw{off, fmt.Sprintf("%s leads from %s to itself", l.Name, l.Src), ""}
	case l.SrcBinds && l.DstBinds:
		return &Flaw{off, fmt.Sprintf("both ends of %s bind: one has to connect", l.Name), "write the end that connects in lower case"}
	case l.Src == Any && l.SrcBinds, l.Dst == Any && l.DstBinds:
		return &Flaw{off, fmt.Sprintf("any cannot bind: everybody would, at one endpoint, in %s", l.Name), "write any in lower case"}
	}
	other := l.Src
	if other == Any {
		other = l.Dst
	}
	if (l.Src == Any || l.Dst == Any) && other != Orchester && other != Tracker {
		return &Flaw{off, fmt.Sprintf("DSAT 0.6 understands any in links of orchester and tracker only, not in %s", l.Name), "write one link for each satellite"}
	}
	return nil
}
