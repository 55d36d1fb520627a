package bus

import (
	"cmp"
	"slices"
	"strings"

	"github.com/dsat/dsat/bus/rules"
)

// keyring keeps the order of keys at one step (rule 9): of each key one hop is on its way, in the queue, in a hand or held for its
// retry; the others stand in line behind it, in the order of their admission. When it has ended, whatever its end, the next of the
// line goes to the end of the queue, so that keys take turns. A step without keys has no keyring.
type keyring struct {
	spec   string      // the expressions it was made for
	rule   *rules.Rule // work.key; nil: only links have keys
	flow   flow        // keys that could not be told
	lines  map[uint64]*line
	of     map[int32]*line // by slot; also of hops on their way
	bytes  int64           // of those that stand in line
	count  int
	before map[int32]uint64   // during rekey: keys that are known
	early  map[int32]earlyKey // keys of held hops whose payloads are on disk; nil: there are none
	order  []lined            // those that stand in line, by admission, and some that do not any more
}

// line is the hops of one key.
type line struct {
	key   uint64
	busy  int // on their way: one, or those that were when the key was set
	queue fifo
}

type lined struct {
	slot int32
	id   uint64
}

// keySpec is the expressions that make the keys of a step's messages; "": there are none.
func (s *step) keySpec() string {
	var b strings.Builder
	b.WriteString(s.sat.Work.Key)
	for _, f := range s.from {
		for _, l := range f.sat.To {
			if l.Key != "" && slices.Contains(l.Ends(), s.name) {
				b.WriteString("\n" + f.name + ": " + l.Key)
			}
		}
	}
	return b.String()
}

func newKeyring(spec, key string) *keyring {
	return &keyring{spec: spec, rule: ruleFor(key, rules.Key, nil), lines: map[uint64]*line{}, of: map[int32]*line{}}
}

// ringed gives each step the keyring that its topology asks for. Hops that are there get the keys of the new one: those that wait
// are put in the order of their admission.
func (t *tracker) ringed() {
	for _, s := range t.steps {
		t.levels(s)
		spec := s.keySpec()
		switch {
		case spec == "" && s.keys == nil, s.keys != nil && s.keys.spec == spec:
		case spec == "":
			s.keys.dissolve(&t.hops, s)
			s.keys = nil
		default:
			known := s.keys.known(s.sat.Work.Key)
			if s.keys != nil {
				s.keys.dissolve(&t.hops, s)
			}
			s.waiting.sort(&t.hops)
			t.rekey(s, newKeyring(spec, s.sat.Work.Key), known, nil)
		}
	}
	for _, s := range t.steps {
		s.looks = s.router != nil || slices.ContainsFunc(s.to, func(to *step) bool { return to.keys != nil })
	}
}

// known is the keys of hops, by slot, if they are found as before.
func (k *keyring) known(key string) map[int32]uint64 {
	if k == nil || k.rule == nil && key != "" || k.rule != nil && k.rule.Text() != key {
		return nil
	}
	all := make(map[int32]uint64, len(k.of))
	for i, l := range k.of {
		all[i] = l.key
	}
	return all
}

// rekey lets a new keyring judge all hops of s whose keys are not known, in the order in which they wait.
// Those of way are on their way, whoever else is.
func (t *tracker) rekey(s *step, ring *keyring, known map[int32]uint64, way map[int32]bool) {
	ring.before = known
	defer func() { ring.before = nil }()
	if s.keys != nil {
		ring.flow = s.keys.flow
		s.keys.dissolve(&t.hops, s)
	}
	if s.keys != nil && known != nil {
		ring.early = s.keys.early
	}
	s.keys = ring
	all := s.waiting.all(&t.hops)
	s.waiting = newFIFO()
	for i := s.suspect.head; i != none; i = t.hops.at(i).next {
		t.onItsWay(s, i)
	}
	for _, r := range s.held {
		t.onItsWay(s, r.slot)
	}
	for _, w := range s.workers {
		for pos := w.hand.first; pos < w.hand.end; pos++ {
			if d := w.hand.at(pos); d.slot != none {
				t.onItsWay(s, d.slot)
			}
		}
	}
	for _, i := range all {
		switch {
		case way[i]:
			t.onItsWay(s, i)
		case t.lineUp(s, i):
			continue
		}
		s.waiting.pushBack(&t.hops, i)
	}
}

// onItsWay counts a hop for its key, whoever else is on its way. One of a session has none: it goes past the queue.
func (t *tracker) onItsWay(s *step, i int32) {
	if len(s.pins) > 0 && s.pins[i] != nil {
		return
	}
	if key, has := t.keyOf(s, i); has {
		l := s.keys.line(key)
		l.busy++
		s.keys.of[i] = l
	}
}

// lineUp lets hop i, which waits, stand in line when another of its key is on its way; false: it is on its way itself.
func (t *tracker) lineUp(s *step, i int32) bool {
	key, has := t.keyOf(s, i)
	return has && s.keys.enter(&t.hops, s, i, key)
}

// keyOf is the key of a hop of s, by the rule of the link it came by or by that of s. It follows from the message alone, so that it
// is the same whenever it is asked for.
func (t *tracker) keyOf(s *step, i int32) (uint64, bool) {
	if key, has := s.keys.before[i]; has {
		return key, true
	}
	if e, has := s.keys.early[i]; has {
		return e.key, e.has
	}
	h := t.hops.at(i)
	rule, f, from := s.keys.rule, &s.keys.flow, ""
	if h.from != outside {
		origin := t.steps[h.from]
		from = origin.name
		if l := origin.router.over(s); l != nil && l.key != nil {
			rule, f = l.key, l.flow
		}
	}
	if rule == nil {
		return 0, false
	}
	if t.seen.body == h.body { // it is being routed
		t.seen.m.Step = s.name
		return t.seen.tell(rule, f)
	}
	tk := t.tasks.at(h.tslot)
	t.seen.set(tk.started, from, s.name, tk.id, tk.started, h.body, h.codec)
	t.seen.m.Hops = int(h.hops)
	key, has := t.seen.tell(rule, f)
	t.seen.forget()
	return key, has
}

func (k *keyring) line(key uint64) *line {
	l := k.lines[key]
	if l == nil {
		l = &line{key: key, queue: newFIFO()}
		k.lines[key] = l
	}
	return l
}

// enter gives a hop its key, and reports whether it has to stand in line.
func (k *keyring) enter(hops *slab, s *step, i int32, key uint64) bool {
	l := k.line(key)
	k.of[i] = l
	if l.busy == 0 {
		l.busy = 1
		return false
	}
	l.queue.pushBack(hops, i)
	k.count++
	k.bytes += size(hops.at(i))
	if len(k.order) > 64 && len(k.order) > 2*k.count {
		k.compact(hops)
	}
	k.order = append(k.order, lined{i, hops.at(i).id})
	return true
}

// compact forgets those that do not stand in line any more.
func (k *keyring) compact(hops *slab) {
	stands := make(map[lined]bool, k.count)
	for _, l := range k.lines {
		for i := l.queue.head; i != none; i = hops.at(i).next {
			stands[lined{i, hops.at(i).id}] = true
		}
	}
	k.order = slices.DeleteFunc(k.order, func(e lined) bool { return !stands[e] })
}

// oldest is the hop that stands in line for longest, or none. It is the first of its line.
func (k *keyring) oldest(hops *slab) int32 {
	for len(k.order) > 0 {
		e := k.order[0]
		if l := k.of[e.slot]; l != nil && l.queue.head == e.slot && hops.at(e.slot).id == e.id {
			return e.slot
		}
		k.order = k.order[1:]
	}
	k.order = nil
	return none
}

// takeOut takes a hop, the first of its line, out of it: it is about to end.
func (k *keyring) takeOut(hops *slab, i int32) {
	l := k.of[i]
	l.queue.popFront(hops)
	delete(k.of, i)
	k.count--
	k.bytes -= size(hops.at(i))
	k.forget(l)
}

func (k *keyring) forget(l *line) {
	if l.busy == 0 && l.queue.count == 0 {
		delete(k.lines, l.key)
	}
}

// ended lets the next of its key go, when hop i, which was on its way, has ended.
func (k *keyring) ended(hops *slab, s *step, i int32) {
	delete(k.early, i)
	l := k.of[i]
	if l == nil {
		return
	}
	delete(k.of, i)
	if l.busy--; l.busy > 0 {
		return
	}
	if l.queue.count == 0 {
		delete(k.lines, l.key)
		return
	}
	next := l.queue.popFront(hops)
	k.count--
	k.bytes -= size(hops.at(next))
	l.busy = 1
	s.waiting.pushBack(hops, next)
	s.dirty = true
}

// pickLined takes those that stand in line and are meant out of their lines.
func (t *tracker) pickLined(k *keyring, meant func(int32) bool) []int32 {
	if k == nil {
		return nil
	}
	var picked []int32
	for _, l := range k.lines {
		for _, i := range t.sift(&l.queue, meant) {
			delete(k.of, i)
			k.count--
			k.bytes -= size(t.hops.at(i))
			picked = append(picked, i)
		}
	}
	return picked
}

// dissolve puts all that stand in line into the queue, by admission, and forgets the keys.
func (k *keyring) dissolve(hops *slab, s *step) {
	all := k.standing(hops)
	sortByArrival(hops, all) // who was delayed, and who is back from a restart, stood in line in another order
	for _, i := range all {
		s.lineOf(hops.at(i)).pushBack(hops, i)
	}
	k.lines, k.of, k.order, k.count, k.bytes = map[uint64]*line{}, map[int32]*line{}, nil, 0, 0
}

// byArrival is the order in which hops came: those that were delayed came when their time did.
func byArrival(a, b *hop) int {
	return cmp.Or(cmp.Compare(a.admitted, b.admitted), cmp.Compare(a.id, b.id))
}

func sortByArrival(hops *slab, all []int32) {
	slices.SortFunc(all, func(a, b int32) int { return byArrival(hops.at(a), hops.at(b)) })
}

// all is the hops of a queue, the first one first.
func (q *fifo) all(hops *slab) []int32 {
	var list []int32
	for i := q.head; i != none; i = hops.at(i).next {
		list = append(list, i)
	}
	return list
}

// sort brings a queue into the order of admission.
func (q *fifo) sort(hops *slab) {
	list := q.all(hops)
	sortByArrival(hops, list)
	*q = newFIFO()
	for _, i := range list {
		q.pushBack(hops, i)
	}
}

// inLine is how many stand in line.
func (s *step) inLine() int {
	if s.keys == nil {
		return 0
	}
	return s.keys.count
}

// expireLined ends what has stood in line for longer than the ttl.
func (t *tracker) expireLined(now int64, s *step) {
	for i := s.keys.oldest(&t.hops); i != none && t.outlived(now, s, t.hops.at(i)); i = s.keys.oldest(&t.hops) {
		t.unblocked = t.unblocked || s.full()
		s.keys.takeOut(&t.hops, i)
		t.finish(now, i, expired, outlived)
	}
}
