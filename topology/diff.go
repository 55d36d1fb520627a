package topology

import (
	"slices"
	"strings"
)

// Verdict is what a new topology makes of a satellite.
type Verdict string

// The closed set of Verdict.
const (
	Unchanged Verdict = "unchanged"
	Added     Verdict = "added"
	Removed   Verdict = "removed"
	Changed   Verdict = "changed"
	Renamed   Verdict = "renamed" // its moved_from was there before, and is not any more
)

// KeyChange is one key with another value. Values are TOML, as the effective file has them; "" is "not there".
type KeyChange struct {
	Key      string // path within the satellite or the file: "stop.deadline", "daemon.http"
	Old, New string
	Restart  bool // a process has to be started anew to have it
	Default  bool // it comes, or goes, with the entry it belongs to, and is what every such entry has unless it says so
}

// Change is one satellite of the old or the new topology.
type Change struct {
	Name    string
	From    string // of a renamed one: its former name
	Verdict Verdict
	Keys    []KeyChange // of a changed or renamed one, in the order of the schema
	Restart bool        // its processes, if it has some, are started anew
}

// Plan is the difference of two topologies. It is never changed after Diff returned it.
type Plan struct {
	Old, New   *Topology
	Satellites []Change    // those of New in its order, then those that are removed, in the order of Old
	Daemon     []KeyChange // what changes outside satellites
	Refused    []KeyChange // what cannot change while dsatd runs; then nothing of the plan can be applied
}

// Diff is what has to happen for one topology to become another.
func Diff(before, after *Topology) *Plan { return diff(language(), before, after) }

func diff(root *key, before, after *Topology) *Plan {
	p := &Plan{Old: before, New: after}
	p.daemon(root.keys)
	keys := root.find("satellite").each.keys
	moved := map[string]bool{}
	for _, n := range after.Satellites {
		was := before.Satellite(n.Name)
		c := Change{Name: n.Name, Verdict: Unchanged}
		switch {
		case was != nil:
			if c.Keys = p.keys(keys, was, n); len(c.Keys) > 0 {
				c.Verdict = Changed
			}
			c.Restart = slices.ContainsFunc(c.Keys, func(k KeyChange) bool { return k.Restart })
		case n.MovedFrom != "" && before.Satellite(n.MovedFrom) != nil && after.Satellite(n.MovedFrom) == nil:
			c.Verdict, c.From, c.Restart = Renamed, n.MovedFrom, true
			c.Keys = p.keys(keys, before.Satellite(n.MovedFrom), n)
			moved[n.MovedFrom] = true
		default:
			c.Verdict = Added
		}
		p.Satellites = append(p.Satellites, c)
	}
	for _, o := range before.Satellites {
		if after.Satellite(o.Name) == nil && !moved[o.Name] {
			p.Satellites = append(p.Satellites, Change{Name: o.Name, Verdict: Removed})
		}
	}
	return p
}

// Empty reports that there is nothing to do.
func (p *Plan) Empty() bool {
	return len(p.Daemon) == 0 && len(p.Refused) == 0 && len(p.Of(Added, Removed, Changed, Renamed)) == 0
}

// Of lists the satellites of these verdicts.
func (p *Plan) Of(verdicts ...Verdict) []Change {
	var out []Change
	for _, c := range p.Satellites {
		if slices.Contains(verdicts, c.Verdict) {
			out = append(out, c)
		}
	}
	return out
}

// Moved maps the former name of each renamed satellite to its new one.
func (p *Plan) Moved() map[string]string {
	out := map[string]string{}
	for _, c := range p.Of(Renamed) {
		out[c.From] = c.Name
	}
	return out
}

// daemon compares what stands outside satellites.
func (p *Plan) daemon(keys []*key) {
	loose := func(key string) bool {
		return key == "daemon.stop_deadline" || strings.HasPrefix(key, "group.") || strings.HasPrefix(key, "secrets.") || strings.HasPrefix(key, "socket.") && !firmSocket(p, key)
	}
	for _, c := range compare(leaves(keys, p.Old, ""), leaves(keys, p.New, "")) {
		if c.Restart = !loose(c.Key); c.Restart {
			p.Refused = append(p.Refused, c)
		} else {
			p.Daemon = append(p.Daemon, c)
		}
	}
}

// keys compares two entries. A satellite whose files lie elsewhere is told so in its environment.
func (p *Plan) keys(keys []*key, before, after *Satellite) []KeyChange {
	out := compare(leaves(keys, before, ""), leaves(keys, after, ""))
	for i := range out {
		out[i].Restart = !live(out[i].Key)
	}
	out = append(append(out, p.elsewhere(after)...), p.resourced(after)...)
	if p.Old.Dir != p.New.Dir {
		out = append(out, KeyChange{Key: "directory of the topology", Old: quote(p.Old.Dir, true), New: quote(p.New.Dir, true), Restart: true})
	}
	return out
}

// live reports that dsatd alone goes by a key of a satellite: no process has to be started anew for it.
func live(label string) bool {
	name, member, _ := strings.Cut(label, ".")
	switch name {
	case "to", "needs", "after", "instances", "autostart", "on_daemon_death", "ready", "restart", "recycle", "stop", "queue", "work", "v1", "breaker", "task", "moved_from", "watch", "fd_store", "fd_store_preserve", "schedule", "on_done", "on_failed", "calls":
		return true
	case "route":
		return member != "member" // its carrier goes by that
	case "log":
		return slices.Contains([]string{"ring", "max_size", "keep", "rotate", "max_age", "total", "compress"}, member)
	}
	return false
}

// leaf is a key that is no table, with its value as TOML.
type leaf struct {
	label, value string
	usual        bool // it is the default
}

// leaves are the keys of an owner that the effective file has. prefix stands before their names.
func leaves(keys []*key, owner any, prefix string) []leaf {
	var out []leaf
	for _, k := range keys {
		if k.later || k.name == "defaults" || k.applies != nil && k.applies(owner) != "" {
			continue
		}
		switch kind := k.kind.(type) {
		case tableKind:
			out = append(out, leaves(k.keys, owner, prefix+k.name+".")...)
		case entriesKind:
			for _, e := range kind.list(owner) {
				out = append(out, leaves(k.each.keys, e.of, prefix+k.name+"."+e.name+".")...)
			}
		default:
			if v, ok := render(k, owner); ok {
				out = append(out, leaf{prefix + k.name, v, v == k.def || k.def == "" && slices.Contains(nothings, v)})
			}
		}
	}
	return out
}

// nothings are the values of keys that have no default, where nothing was said.
var nothings = []string{"false", `""`, "0", "[]"}

// compare lists what differs, in the order of after, then what after does not have.
func compare(before, after []leaf) []KeyChange {
	was := make(map[string]leaf, len(before))
	for _, l := range before {
		was[l.label] = l
	}
	var out []KeyChange
	for _, l := range after {
		if old, there := was[l.label]; !there || old.value != l.value {
			out = append(out, KeyChange{Key: l.label, Old: old.value, New: l.value, Default: !there && l.usual})
		}
		delete(was, l.label)
	}
	for _, l := range before {
		if old, gone := was[l.label]; gone {
			out = append(out, KeyChange{Key: l.label, Old: old.value, Default: old.usual})
		}
	}
	return out
}
