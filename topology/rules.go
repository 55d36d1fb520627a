package topology

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// rules are the conditions that concern more than one key.
type rules struct {
	*loader
	t     *Topology
	said  map[string]*setting // by name of satellite; also those that are not in t because their name or table is wrong
	built map[string]*Satellite
	names []string // of all that was said, for hints
	// listens is the sockets by name; also those that are not in t
	listens map[string]*setting
	secret  map[string]*setting // likewise the secrets
}

func (r *rules) add(at place, hint, format string, args ...any) {
	r.problems.add(at, hint, format, args...)
}

// satellite checks and completes one satellite by itself.
func (r *rules) satellite(s *Satellite, said *setting) {
	run := said.find("command")
	if run == nil {
		run = said.find("plugin")
	}
	switch {
	case run == nil:
		r.add(said.at, `say command = "PROGRAM ARGUMENT..." or plugin = "NAME"`, "satellite %s has neither command nor plugin", s.Name)
	case s.Dir == "":
		s.Dir = filepath.Dir(run.at.src.path)
	}
	if doubtful(said) {
		return
	}
	if s.Plugin != "" && s.Speaks != SpeaksBus {
		r.add(said.find("speaks").pos, "leave it out", "a plugin speaks bus, not %s", s.Speaks)
	}
	r.ready(s, said)
	r.health(s, said)
	r.limits(s, said)
	if f := said.find("log").find("stderr"); s.Speaks.Filter() && s.Log.Stderr == LogJoined {
		if f.inherited {
			s.Log.Stderr = LogCapture
		} else {
			r.add(f.pos, `write "capture"`, "stderr cannot be joined: stdout of a filter carries messages")
		}
	}
	r.log(s, said.find("log"))
	if f := said.find("work").find("in_hand"); s.Mode == ModeLockstep && s.Work.InHand > 1 {
		if f.inherited {
			s.Work.InHand = 1
		} else {
			r.add(f.pos, `leave it out, or say mode = "pipelined"`, "a filter in lockstep has one message in hand")
		}
	}
	if b := s.Restart.Backoff; b.Initial > b.Max {
		r.add(orElse(said.find("restart").find("backoff"), said).pos, "", "restart.backoff.initial (%s) is longer than max (%s)", durationText(b.Initial), durationText(b.Max))
	}
	r.scheduled(s, said)
	r.stop(s, said.find("stop"))
	r.process(s, said)
	r.breaker(s, said.find("breaker"))
	r.ranked(s, said)
	r.options(s, said)
}

func orElse(s, other *setting) *setting {
	if s != nil {
		return s
	}
	return other
}

func (r *rules) options(s *Satellite, said *setting) {
	if r.opt.BuiltinOptions == nil || s.Plugin == "" || strings.Contains(s.Plugin, "/") {
		return
	}
	f := said.find("options")
	if f != nil && f.bad {
		return
	}
	if err := r.opt.BuiltinOptions(s.Plugin, s.Options); err != nil {
		r.add(orElse(f, said).at, "", "options of %s: %v", s.Plugin, err)
	}
}

// all checks what satellites say about each other.
func (r *rules) all() {
	for name := range r.said {
		r.names = append(r.names, name)
	}
	slices.Sort(r.names)
	for _, s := range r.t.Satellites {
		said := r.said[s.Name]
		for i, n := range s.Needs {
			r.known(n.Name, "needs", said.find("needs").item(i))
			r.notStarted(s, n.Name)
		}
		for i, name := range s.After {
			r.known(name, "after", said.find("after").item(i))
		}
		for i, l := range s.To {
			if at := said.find("to").item(i); r.known(l.To, "to", at) {
				r.target(l.To, at)
			}
		}
		r.routes(s, said)
	}
	r.moved()
	r.order()
	r.loops()
	r.borders()
	r.clashes()
	r.endings()
	r.grants()
	r.secretGrants()
	r.fallbacks()
	r.taskHooks()
	r.calls()
	r.codecs()
	r.direct()
	r.spills()
	r.retained()
}

// known reports a name that no satellite has.
func (r *rules) known(name, what string, at place) bool {
	if r.said[name] != nil || r.broken {
		return true
	}
	hint := didYouMean(name, r.names)
	if strings.ContainsAny(name, "/:") {
		hint = "it wants the name of a satellite"
	}
	r.add(at, hint, "%s names %q, and there is no such satellite", what, shorten(name))
	return false
}

func (r *rules) notStarted(s *Satellite, name string) {
	if n := r.built[name]; n != nil && !n.Autostart && s.Autostart {
		r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s needs %s, which is not started by itself: %s waits until `dsatctl start %s`", s.Name, name, s.Name, name))
	}
}

// target checks the receiving end of a link.
func (r *rules) target(name string, at place) {
	s, said := r.built[name], r.said[name]
	if s == nil || doubtful(said) {
		return
	}
	switch {
	case s.Speaks == SpeaksNone:
		r.add(at, fmt.Sprintf(`say speaks = "bus", "lines", "json", "frames" or "v1" in [satellite.%s]`, name), "nothing can be sent to %s: it speaks none", name)
	case s.Mode == ModeSource:
		r.add(at, "", "nothing can be sent to %s: it is a source", name)
	}
}

// order refuses cycles of needs and after.
func (r *rules) order() {
	g := r.t.starts()
	for _, c := range g.cycles() {
		s := r.t.Satellites[c[0]]
		said := r.said[s.Name]
		next := r.t.Satellites[c[1%len(c)]].Name
		at := said.at
		for i, n := range s.Needs {
			if n.Name == next {
				at = said.find("needs").item(i)
			}
		}
		for i, name := range s.After {
			if name == next {
				at = said.find("after").item(i)
			}
		}
		if len(c) == 1 {
			r.add(at, "", "%s waits for itself", s.Name)
		} else {
			r.add(at, "each waits for the next: take one out", "needs and after form a cycle: %s", r.t.path(c))
		}
	}
}

// loops allows cycles of links only where no queue of them blocks: a full one would wait for itself for ever.
func (r *rules) loops() {
	g := r.t.flows()
	for _, part := range g.circular() {
		loop := g.cycle(part)
		blocking := -1
		hops := 0
		for _, i := range part {
			s := r.t.Satellites[i]
			if (s.Queue.Full == FullBlock || s.Queue.Full == FullSpill) && blocking < 0 { // one that spills blocks when its disk is used up
				blocking = i
			}
			hops = max(hops, s.Work.Hops)
		}
		if blocking < 0 {
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("links form a cycle: %s; allowed, because none of its queues blocks, and a message ends in quarantine after %d hops", r.t.path(loop), hops))
			continue
		}
		how := "blocks"
		if r.t.Satellites[blocking].Queue.Full == FullSpill {
			how = "blocks when what it may spill is used up"
		}
		s := r.t.Satellites[loop[0]]
		at := r.said[s.Name].at
		for i, l := range s.To {
			if slices.Contains(l.Ends(), r.t.Satellites[loop[1%len(loop)]].Name) {
				at = r.said[s.Name].find("to").item(i)
			}
		}
		r.add(at, `say queue = { full = "drop-oldest" } (or drop-newest, quarantine) in every satellite of it, or take a link out`,
			"links form a cycle in which the queue of %s %s: %s", r.t.Satellites[blocking].Name, how, r.t.path(loop))
	}
}

// clashes finds two satellites that claim one port of this machine.
func (r *rules) clashes() {
	owner := map[string]string{}
	for _, s := range r.t.Satellites {
		host, _, ok := splitAddress(anyInstance(s.Ready.TCP))
		if s.Ready.Kind != ReadyTCP || !ok || !loopback(host) {
			continue
		}
		if other := owner[s.Ready.TCP]; other != "" {
			r.add(r.said[s.Name].find("ready").find("tcp").pos, "", "port clash: %s is ready when %s accepts, and so is %s", s.Name, s.Ready.TCP, other)
		}
		owner[s.Ready.TCP] = s.Name
	}
}
