package topology

import (
	"slices"
	"strings"
	"syscall"
	"time"
)

func job(f func(*Schedule) any) func(any) any { return func(o any) any { return f(o.(*Schedule)) } }

func scheduleKeys() *key {
	return &key{name: "schedule", kind: scheduleKind{}, own: true, whole: true, aka: []string{"cron", "timer", "schedules", "periodic", "cron_restart"},
		doc: "Times at which it is run: a cron expression, a table, or a table of such tables by name. A satellite that a schedule starts is a job: it is down between its runs, `autostart` is false, and `restart` is " +
			`"never" unless you say "on-failure". ` + "`dsatctl start` runs it now, `dsatctl stop` ends a run; the schedule goes on.",
		field: sat(func(s *Satellite) any { return &s.Schedules }), dropped: unset(func(s *Satellite) []Schedule { return s.Schedules }),
		keys: []*key{
			{name: "cron", kind: cronKind{}, group: "when", aka: []string{"at", "on_calendar", "spec", "time"},
				doc: "Five fields (minute, hour, day of the month, month, day of the week) or @hourly, @daily, @weekly, @monthly, @yearly. Besides `*`, lists, ranges, steps and names there are `L` (last day), `L-3`, `LW`, `15W` (working day nearest to the 15th), `FRI#2` and `FRI#L`. " +
					"Where both day fields say something, one is enough. An expression that names hours goes by the clock on the wall: a time that does not exist because the clock is put forward is due right after the gap, one that comes twice the first time. With `*` for the hour it goes on every hour.",
				field: job(func(s *Schedule) any { return &s.Cron }), dropped: func(_, v any) bool { return v == "" }},
			{name: "zone", kind: zoneKind{}, auto: "the zone of the machine", aka: []string{"tz", "timezone", "time_zone"}, doc: `Time zone of cron: "Europe/Vienna", "UTC".`,
				field: job(func(s *Schedule) any { return &s.Zone }), dropped: func(_, v any) bool { return v == "" }},
			{name: "every", kind: durationKind{}, group: "when", min: int64(time.Second), doc: "In place of cron: so long after the start of the run before, whatever is done to the clock. The first run is so long after it was first seen by a dsatd; the last run of a dsatd before counts.", aka: []string{"interval", "period"},
				field: job(func(s *Schedule) any { return &s.Every }), dropped: func(_, v any) bool { return v == time.Duration(0) }},
			{name: "jitter", kind: durationKind{}, def: `"0s"`, doc: "Each run is late by up to so much, at random.", aka: []string{"randomized_delay", "splay"},
				field: job(func(s *Schedule) any { return &s.Jitter })},
			{name: "overlap", kind: enumKind{}, def: `"skip"`, choices: []choice{
				{value: "skip", doc: "it is left out"}, {value: "queue", doc: "it follows when the one before is over; one waits at most"},
				{value: "kill", doc: "the one before is stopped, as `stop` says, and this one takes its place"},
			}, doc: "What a run does that finds the one before not over.", aka: []string{"concurrency", "concurrency_policy"}, field: job(func(s *Schedule) any { return &s.Overlap })},
			{name: "missed", kind: enumKind{}, def: `"skip"`, choices: []choice{
				{value: "skip", doc: "nothing"}, {value: "once", doc: "one run for all of them, at once"}, {value: "all", doc: "a run for each, one after the other, 100 at most"},
			}, doc: "What becomes of runs whose time passed while dsatd did not run or the machine slept. Up to a minute late counts as in time.", aka: []string{"catch_up", "catchup", "persistent", "misfire"}, field: job(func(s *Schedule) any { return &s.Missed })},
			{name: "action", kind: actionKind{}, def: `"start"`, doc: "`start`: run it. `restart`: restart it where it is up, one instance after the other. `signal:HUP`: send it a signal where it is up.", aka: []string{"do"},
				field: job(func(s *Schedule) any { return &s.Action })},
		}}
}

// scheduleKind is a cron expression, a table, or a table of tables by name: a []Schedule.
type scheduleKind struct{}

func (scheduleKind) typ() string { return "cron expression or table" }
func (scheduleKind) wants(*key) string {
	return `a cron expression like "*/5 * * * *", or a table { ... }`
}
func (scheduleKind) read(r *reader, k *key, n *node) (any, bool) {
	if _, text := n.scalar.(string); text {
		s := Schedule{Overlap: OverlapSkip, Missed: MissedSkip, Action: ActionStart}
		v, ok := cronKind{}.read(r, k, n)
		if ok {
			s.Cron = v.(string)
		}
		return []Schedule{s}, ok
	}
	if n.shape != shapeTable {
		r.mistyped(k, n)
		return nil, false
	}
	if !slices.ContainsFunc(n.fields, func(c *node) bool { return c.shape == shapeTable }) {
		s, ok := r.schedule(k, n)
		return []Schedule{s}, ok
	}
	var out []Schedule
	all := true
	for _, c := range n.fields {
		if c.shape != shapeTable {
			r.problem(c.key, "name the others too, or say all of it in one table", "schedule: %s stands among schedules with names", shorten(c.name))
			all = false
			continue
		}
		s, ok := r.schedule(k, c)
		s.Name = c.name
		all = r.satelliteName(c.name, c.key) && ok && all
		out = append(out, s)
	}
	return out, all
}

// schedule reads one table.
func (r *reader) schedule(k *key, n *node) (s Schedule, ok bool) {
	said, ok := r.record(k, n, &s)
	switch {
	case !ok:
	case s.Cron == "" && s.Every == 0:
		r.problem(n.at, `say cron = "..." or every = "..."`, "schedule names no time")
		return s, false
	case s.Every > 0 && s.Zone != "":
		r.problem(said.find("zone").at.off, "leave it out", "schedule.zone means nothing with every")
		return s, false
	case s.Cron != "":
		if _, err := NewCalendar(s.Cron, s.Zone); err != nil {
			r.problem(said.find("cron").pos.off, "", "schedule.cron: %q is never due: %s", shorten(s.Cron), err)
			return s, false
		}
	case s.Jitter > s.Every:
		r.problem(said.find("jitter").pos.off, "", "schedule.jitter (%s) is longer than every (%s)", durationText(s.Jitter), durationText(s.Every))
		return s, false
	}
	return s, ok
}

// record reads a table of known keys into a value of its own, which the fields of the keys belong to; absent ones are the default.
func (r *reader) record(k *key, n *node, owner any) (*setting, bool) {
	said := r.table(k, n)
	ok := len(said.fields) == len(n.fields)
	for _, c := range k.keys {
		v := c.value
		if given := said.find(c.name); given != nil {
			ok = ok && !given.bad
			v = given.value
		}
		if v != nil {
			assign(c.field(owner), v)
		}
	}
	return said, ok
}

func (scheduleKind) format(v any) string {
	list := v.([]Schedule)
	if len(list) == 1 && list[0].Name == "" {
		return list[0].text()
	}
	var out []string
	for _, s := range list {
		out = append(out, keyText(s.Name)+" = "+s.text())
	}
	return "{ " + strings.Join(out, ", ") + " }"
}

func (s Schedule) text() string {
	text, _ := render(&key{kind: tableKind{}, keys: scheduleKeys().keys}, &s)
	return text
}

// cronKind is a cron expression.
type cronKind struct{ textKind }

func (cronKind) typ() string       { return "cron expression" }
func (cronKind) wants(*key) string { return `a cron expression like "*/5 * * * *"` }
func (t cronKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if !ok {
		return nil, false
	}
	if _, err := NewCalendar(v.(string), ""); err != nil {
		r.problem(n.at, `five fields: minute, hour, day of the month, month, day of the week, as in "30 2 * * 1-5"; or an interval: schedule = { every = "10m" }`, "%s: %q is no cron expression: %s", k.label, shorten(v.(string)), err)
		return nil, false
	}
	return v, true
}

// zoneKind is the name of a time zone.
type zoneKind struct{ textKind }

func (zoneKind) typ() string       { return "time zone" }
func (zoneKind) wants(*key) string { return `a time zone like "Europe/Vienna"` }
func (t zoneKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if !ok {
		return nil, false
	}
	if _, err := time.LoadLocation(v.(string)); err != nil || v == "" {
		r.problem(n.at, `names of the IANA data base, as "Europe/Vienna" or "UTC"`, "%s: there is no time zone %q", k.label, shorten(v.(string)))
		return nil, false
	}
	return v, true
}

// actionKind is start, restart or "signal:NAME".
type actionKind struct{}

func (actionKind) typ() string       { return "string" }
func (actionKind) wants(*key) string { return `"start", "restart" or "signal:HUP"` }
func (t actionKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	text := v.(string)
	if name, is := strings.CutPrefix(text, "signal:"); is {
		member := *n
		member.scalar = name
		sig, ok := (signalKind{}).read(r, k, &member)
		if !ok {
			return nil, false
		}
		return "signal:" + signalName(sig.(syscall.Signal)), true
	}
	if text == string(ActionStart) || text == string(ActionRestart) {
		return text, true
	}
	r.problem(n.at, didYouMean(text, []string{"start", "restart", "signal:HUP"}), "%s wants %s, not %q", k.label, t.wants(k), shorten(text))
	return nil, false
}
func (actionKind) format(v any) string { return quote(v.(string), false) }
