package main

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// tell is a plan for the wire, with what runs and what waits.
func (c *changer) tell(p *prepared, what control.ChangeRequest) *control.Plan {
	out := &control.Plan{Satellites: []control.Planned{}, Daemon: values(p.plan.Daemon), Refused: values(p.plan.Refused)}
	running := map[string]supervisor.SatelliteStatus{}
	for _, s := range c.d.sup.Snapshot() {
		running[s.Name] = s
	}
	for _, ch := range p.plan.Satellites {
		planned := control.Planned{Name: ch.Name, From: ch.From, Verdict: string(ch.Verdict), Restart: ch.Restart, Keys: values(ch.Keys)}
		if (ch.Verdict == topology.Unchanged || ch.Verdict == topology.Changed) && !ch.Restart {
			for _, i := range running[ch.Name].Instances {
				if i.PID != 0 {
					planned.PIDs = append(planned.PIDs, i.PID)
				}
			}
		}
		all := running[ch.Name].Instances
		planned.Stopped = ch.Verdict == topology.Changed && len(all) > 0 && !slices.ContainsFunc(all, func(i supervisor.InstanceStatus) bool {
			return i.State != supervisor.Stopped || i.Want == supervisor.Up
		})
		if ch.Verdict != topology.Unchanged {
			out.Changes++
		}
		switch ch.Verdict {
		case topology.Removed:
			planned.Waiting = c.held(ch.Name)
			c.removal(out, planned, running[ch.Name], what)
		case topology.Renamed:
			planned.Waiting = c.held(ch.From)
		}
		out.Satellites = append(out.Satellites, planned)
	}
	out.Changes += len(out.Daemon) + len(out.Refused)
	for _, k := range p.plan.Refused {
		out.Blocked = append(out.Blocked, fmt.Sprintf("%s cannot change while dsatd runs (%s, wanted %s): %s", k.Key, orNone(k.Old), orNone(k.New), wayOut(k.Key)))
	}
	if extra := onlyAdds(p, what); extra != "" {
		out.Blocked = append(out.Blocked, extra)
	}
	if !p.from.over.Empty() {
		out.Notes = append(out.Notes, "what was changed at run time lies over the files, until dsatd ends: `dsatctl config runtime` shows it, `dsatctl apply --forget` drops it")
	}
	if len(what.Files) > 0 {
		out.Notes = append(out.Notes, "the next `dsatd start` reads the files it is given then")
	}
	return out
}

// removal tells of messages that a satellite which goes still has.
func (c *changer) removal(out *control.Plan, p control.Planned, s supervisor.SatelliteStatus, what control.ChangeRequest) {
	works := slices.ContainsFunc(s.Instances, func(i supervisor.InstanceStatus) bool { return i.State == supervisor.Running })
	switch {
	case p.Waiting == 0:
	case slices.Contains(what.Discard, "*") || slices.Contains(what.Discard, p.Name):
		out.Notes = append(out.Notes, fmt.Sprintf("%d messages that wait for %s are discarded", p.Waiting, p.Name))
	case works:
		out.Notes = append(out.Notes, fmt.Sprintf("%d messages wait for %s: it is removed once it has done them", p.Waiting, p.Name))
	default:
		out.Blocked = append(out.Blocked, fmt.Sprintf("%d messages wait for %s, and nobody works on them: name its heir with moved_from = %q, or say --discard %s",
			p.Waiting, p.Name, p.Name, p.Name))
	}
}

func (c *changer) held(name string) int {
	waiting, held, inHand, _ := c.d.bus.Waiting(name)
	return waiting + held + inHand
}

// onlyAdds keeps `add FILE` from changing what is there; "" when it does not.
func onlyAdds(p *prepared, what control.ChangeRequest) string {
	adds := slices.ContainsFunc(what.Edits, func(e control.Edit) bool { return e.Op == "file" })
	others := p.plan.Of(topology.Changed, topology.Removed, topology.Renamed)
	if !adds || len(others) == 0 {
		return ""
	}
	var names []string
	for _, o := range others {
		names = append(names, o.Name)
	}
	return fmt.Sprintf("the file does not only add satellites, it also changes %s: use `dsatctl apply` for that", strings.Join(names, ", "))
}

// values leaves out what says nothing: the defaults of an entry that is new or gone, where something else tells of it.
func values(all []topology.KeyChange) []control.PlannedValue {
	var out []control.PlannedValue
	entry := func(key string) string { return key[:max(strings.LastIndexByte(key, '.'), 0)] }
	told := make(map[string]bool)
	for _, k := range all {
		told[entry(k.Key)] = told[entry(k.Key)] || !k.Default
	}
	for _, k := range all {
		e := entry(k.Key)
		if k.Default && (told[e] || e != "" && told[entry(e)]) {
			continue
		}
		told[e] = true
		out = append(out, control.PlannedValue{Key: k.Key, Old: k.Old, New: k.New, Restart: k.Restart})
	}
	return out
}

// wayOut is what to do about a key that cannot change.
func wayOut(key string) string {
	if name, ok := strings.CutPrefix(key, "socket."); ok {
		name, _, _ = strings.Cut(name, ".")
		return fmt.Sprintf("apply the file without [socket.%s] first, which closes it, and then with it", name)
	}
	return "it holds from the next start on, by `dsatctl down` and `dsatd start`"
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// Config tells the values in force of satellites, by name or glob, several joined by commas.
func (c *changer) Config(names string) ([]control.Setting, error) {
	_, loaded := c.present()
	out := []control.Setting{}
	for pattern := range strings.SplitSeq(names, ",") {
		found := false
		for _, s := range loaded.Satellites {
			if ok, _ := path.Match(pattern, s.Name); !ok {
				continue
			}
			found = true
			for _, o := range loaded.Origins(s.Name) {
				out = append(out, control.Setting{Satellite: s.Name, Key: o.Key, Value: o.Value, Origin: o.From})
			}
		}
		if !found {
			return nil, refusal(control.KindNotFound, "cannot find %q: no satellite has this name", pattern)
		}
	}
	return out, nil
}

// Runtime tells what was changed at run time.
func (c *changer) Runtime() control.Runtime {
	from, _ := c.present()
	return control.Runtime{TOML: from.over.TOML(), Removed: from.over.Removed, Files: from.over.Files}
}
