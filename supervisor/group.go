package supervisor

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// groups is every group at work. What a group is, is asked at the moment of use, for the topology may change; what it does
// with its members is events to them, and their answers. Its lock is held for a few map operations only, never while anything waits.
type groups struct {
	of        func(satellite string) *topology.Group // nil: in none
	instances func(satellite string) []*instance
	now       func() time.Time
	exit      func(code int, why string)

	mu  sync.Mutex
	all map[string]*group // by name; those that have had something to do
}

// group is what one of them remembers.
type group struct {
	failures []time.Time // of its members, within the window; the newest last
	muster   *muster     // what goes on; nil: nothing
}

// muster is one fall of a group, or of a part of it, and the rise after it.
type muster struct {
	name   string
	why    string        // the whole sentence: "cpu:0 failed (one_for_all): exit code 3"
	rows   [][]*instance // by satellite, in start order
	ends   bool          // they stay down
	rising bool
	at     int                // the row that is under way: from the last to the first, then up again
	asked  bool               // that row was told
	open   map[*instance]bool // those of it whose answer is missing
}

// letter is an event for an instance, sent after the lock was given up.
type letter struct {
	to *instance
	e  event
}

func send(letters []letter) {
	for _, l := range letters {
		l.to.post(l.e)
	}
}

func (g *groups) get(name string) *group {
	if g.all == nil {
		g.all = make(map[string]*group)
	}
	if g.all[name] == nil {
		g.all[name] = &group{}
	}
	return g.all[name]
}

// holds is why an instance must not be spawned now, as far as its group goes; evGo follows when that has changed.
func (g *groups) holds(i *instance) string {
	spec := g.of(i.ref.Name)
	if spec == nil {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.get(spec.Name).muster
	if m == nil {
		return ""
	}
	row := m.row(i)
	switch {
	case row < 0 || m.ends && row > m.at || m.rising && row <= m.at:
		return ""
	case m.ends:
		return fmt.Sprintf("is about to be stopped with its group %s: %s", m.name, m.why)
	case m.rising:
		return fmt.Sprintf("is started after %s by its group %s: %s", m.rows[m.at][0].ref.Name, m.name, m.why)
	}
	return fmt.Sprintf("waits until what has to be stopped of its group %s is down: %s", m.name, m.why)
}

func (m *muster) row(i *instance) int {
	return slices.IndexFunc(m.rows, func(row []*instance) bool { return slices.Contains(row, i) })
}

// failed notes that the process of an instance has failed and shall be started again. Before it returns, those that have to be
// started with it are held. giveUp is the sentence when the group has had too much of it.
func (g *groups) failed(i *instance, e Exit, because string) (giveUp string) {
	spec := g.of(i.ref.Name)
	if spec == nil {
		return ""
	}
	g.mu.Lock()
	this, now := g.get(spec.Name), g.now()
	if this.tooMany(spec, now) {
		g.mu.Unlock()
		why := fmt.Sprintf("its group %s gave up after more than %d failures within %s, the last one of %s: %s", spec.Name, spec.Limit, spec.Window, i.ref, because)
		if spec.Then.Kind == topology.EndExit {
			g.exit(e.codeFor(spec.Then, false), why)
		} else {
			g.stop(i, why)
		}
		return why
	}
	if this.muster != nil && this.muster.ends {
		g.mu.Unlock()
		return "" // it is about to be stopped
	}
	rows := g.affected(spec, i)
	if rows == nil {
		g.mu.Unlock()
		return ""
	}
	m := &muster{name: spec.Name, why: fmt.Sprintf("%s failed (%s): %s", i.ref, spec.Strategy, because), rows: rows, at: len(rows) - 1}
	if old := this.muster; old != nil {
		m.join(spec, old)
	}
	this.muster = m
	letters := g.advance(this)
	g.mu.Unlock()
	send(letters)
	return ""
}

// tooMany counts a failure. It forgets all of them once there were too many: whoever starts the group again starts anew.
func (g *group) tooMany(spec *topology.Group, now time.Time) bool {
	if spec.Limit <= 0 {
		g.failures = nil
		return false
	}
	g.failures = slices.DeleteFunc(append(g.failures, now), func(t time.Time) bool { return now.Sub(t) >= spec.Window })
	if len(g.failures) <= spec.Limit {
		return false
	}
	g.failures = nil
	return true
}

// affected is who is started anew with an instance, in start order; nil: nobody else.
func (g *groups) affected(spec *topology.Group, i *instance) [][]*instance {
	first := 0
	var rows [][]*instance
	switch spec.Strategy {
	case topology.OneForAll:
	case topology.RestForOne:
		rows = append(rows, []*instance{i})
		first = slices.Index(spec.Members, i.ref.Name) + 1
	default:
		return nil
	}
	for _, name := range spec.Members[first:] {
		if row := g.instances(name); len(row) > 0 {
			rows = append(rows, row)
		}
	}
	if len(rows) == 1 && len(rows[0]) == 1 {
		return nil
	}
	return rows
}

// join takes over what another muster had to do.
func (m *muster) join(spec *topology.Group, other *muster) {
	rows := m.rows
	m.rows = nil
	take := func(name string) {
		var row []*instance
		for _, list := range slices.Concat(rows, other.rows) {
			for _, i := range list {
				if i.ref.Name == name && !slices.Contains(row, i) {
					row = append(row, i)
				}
			}
		}
		if len(row) > 0 {
			m.rows = append(m.rows, row)
		}
	}
	for _, name := range spec.Members {
		take(name)
	}
	m.at = len(m.rows) - 1
}

// stop stops the members of a group, but for the instance that is the reason, in reverse order.
func (g *groups) stop(i *instance, why string) {
	spec := g.of(i.ref.Name)
	if spec == nil {
		return
	}
	m := &muster{name: spec.Name, why: why, ends: true}
	for _, name := range spec.Members {
		row := slices.DeleteFunc(slices.Clone(g.instances(name)), func(other *instance) bool { return other == i })
		if len(row) > 0 {
			m.rows = append(m.rows, row)
		}
	}
	m.at = len(m.rows) - 1
	g.mu.Lock()
	this := g.get(spec.Name)
	if this.muster != nil && this.muster.ends {
		g.mu.Unlock()
		return
	}
	old := this.muster
	this.muster = m
	letters := g.advance(this)
	if old != nil { // those that it held may be of another group by now
		for _, row := range old.rows {
			letters = append(letters, release(row)...)
		}
	}
	g.mu.Unlock()
	send(letters)
}

// release lets those who are not held any more ask again.
func release(row []*instance) (letters []letter) {
	for _, i := range row {
		letters = append(letters, letter{i, event{kind: evGo}})
	}
	return letters
}

// reconsider is for after a change of the topology: a muster of members that are of its group no more is given up, and whoever was
// held asks again.
func (g *groups) reconsider() {
	g.mu.Lock()
	var letters []letter
	for name, this := range g.all {
		m := this.muster
		if m == nil {
			continue
		}
		for _, row := range m.rows {
			if spec := g.of(row[0].ref.Name); spec == nil || spec.Name != name {
				this.muster = nil
			}
			letters = append(letters, release(row)...)
		}
	}
	g.mu.Unlock()
	send(letters)
}

// advance goes on with the muster as far as it can without an answer. The lock is held; the letters are for after it.
func (g *groups) advance(this *group) (letters []letter) {
	m := this.muster
	for m != nil && len(m.open) == 0 {
		switch {
		case !m.asked && m.at >= 0 && m.at < len(m.rows):
			letters = append(letters, g.tell(m)...)
			continue
		case m.asked && !m.rising:
			if m.ends { // who was started by hand meanwhile may go
				letters = append(letters, release(m.rows[m.at])...)
			}
			m.at--
		case m.asked:
			m.at++
		}
		m.asked = false
		if m.at < 0 && !m.ends && !m.rising {
			m.rising, m.at = true, 0
		}
		if m.at < 0 || m.at >= len(m.rows) {
			this.muster, m = nil, nil
		}
	}
	return letters
}

// tell tells the row that is under way what to do, and to answer when it is done.
func (g *groups) tell(m *muster) (letters []letter) {
	m.asked, m.open = true, make(map[*instance]bool)
	e, goal := event{kind: evCede, cause: m.why}, goalVoid
	switch {
	case m.ends:
		e, goal = event{kind: evStop, cause: "was stopped with its group: " + m.why}, goalDown
	case m.rising:
		e, goal = event{kind: evGo}, goalUp
	}
	for _, i := range m.rows[m.at] {
		m.open[i] = true
		e.wait = &waiter{goal: goal, by: m.name, live: func() bool { return g.goesOn(m) }, tell: func(Result) { g.answered(m, i) }}
		letters = append(letters, letter{i, e})
	}
	return letters
}

// goesOn: letters are sent without the lock, so those of a muster that was overtaken can come after those of the one in its place.
func (g *groups) goesOn(m *muster) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.get(m.name).muster == m
}

// answered is told by the owner of an instance. Answers of a muster that was overtaken are nobody's business any more.
func (g *groups) answered(m *muster, i *instance) {
	g.mu.Lock()
	this := g.get(m.name)
	if this.muster != m {
		g.mu.Unlock()
		return
	}
	delete(m.open, i)
	letters := g.advance(this)
	g.mu.Unlock()
	send(letters)
}

// newGroups is the groups of the present roster.
func (s *Supervisor) newGroups() *groups {
	return &groups{
		of: func(satellite string) *topology.Group { return s.roster().groups[satellite] },
		instances: func(satellite string) []*instance {
			if sat := s.roster().byName[satellite]; sat != nil {
				return sat.instances()
			}
			return nil
		},
		now: s.now, exit: s.quit,
	}
}
