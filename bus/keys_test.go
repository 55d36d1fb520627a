package bus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// ordered is a keyed queue with workers that fail, die and answer at random, and what was handed out and is open.
type ordered struct {
	*stage
	rnd    *rand.Rand
	src    *actor
	alive  []*actor
	spawn  uint32
	inHand map[string]string  // key -> message
	done   map[string]int     // key -> number of the last message that was done
	open   map[*actor][]given // not answered
}

type given struct {
	n       uint64
	message string
}

func keyOfText(message string) (key string, number int) {
	key, text, _ := strings.Cut(message, " ")
	number, _ = strconv.Atoi(text)
	return key, number
}

func (o *ordered) join() {
	o.spawn++
	w := o.admit("work", int(o.spawn), o.spawn) // no look: it may be given work at once
	w.hello(wire.HelloBody{Concurrency: 2})
	o.alive = append(o.alive, w)
}

// look takes what the workers were given: of each key one at a time, and those in order.
func (o *ordered) look() {
	for _, w := range o.alive {
		for _, rec := range w.only(wire.Data) {
			message := string(rec.Body)
			key, number := keyOfText(message)
			if other, busy := o.inHand[key]; busy {
				o.t.Fatalf("%s was given while %s is in hand", message, other)
			}
			if number != o.done[key]+1 {
				o.t.Fatalf("%s was given after %d", message, o.done[key])
			}
			o.inHand[key] = message
			o.open[w] = append(o.open[w], given{rec.N, message})
		}
	}
}

func (o *ordered) answer(w *actor) {
	list := o.open[w]
	if len(list) == 0 {
		return
	}
	k := o.rnd.IntN(len(list))
	g := list[k]
	o.open[w] = slices.Delete(list, k, k+1)
	key, number := keyOfText(g.message)
	delete(o.inHand, key)
	if o.rnd.IntN(3) == 0 {
		w.say(&wire.Header{Kind: wire.Fail, Flags: wire.FlagRetry, Epoch: 7, N: g.n}, []byte("again"))
		return
	}
	o.done[key] = number
	w.done(g.n)
}

func (o *ordered) kill() {
	k := o.rnd.IntN(len(o.alive))
	w := o.alive[k]
	for _, g := range o.open[w] {
		key, _ := keyOfText(g.message)
		delete(o.inHand, key)
	}
	delete(o.open, w)
	o.alive = slices.Delete(o.alive, k, k+1)
	w.die("killed by signal 9")
	o.join()
}

// Of each key one message is in hand at a time, and they are handled in the order of their arrival, whatever fails and dies meanwhile.
func TestKeysKeepTheirOrder(t *testing.T) {
	for seed := range uint64(40) {
		work := sat("work")
		work.Work.Key = `hash(payload, 1) == 0 ? payload[:1] : nil`
		work.Work.Retries, work.Work.Crashes, work.Work.InHand, work.Work.Backoff = 1000, 1000, 8, 1
		o := &ordered{stage: newStage(t, sat("gen", "work"), work), rnd: rand.New(rand.NewPCG(seed, 1)), inHand: map[string]string{}, done: map[string]int{},
			open: map[*actor][]given{}}
		o.src = o.stage.join("gen", 0, 1, wire.HelloBody{Source: true})
		for range 3 {
			o.join()
		}
		const keys, each = 4, 25
		next := [keys]int{}
		for left := keys * each; left > 0; {
			k := o.rnd.IntN(keys)
			if next[k] < each {
				next[k]++
				left--
				o.src.emit(fmt.Sprintf("%c %d", 'a'+k, next[k]))
			}
			o.step()
		}
		for rounds := 0; o.o.t.hops.live > 0; rounds++ {
			if rounds > 20_000 {
				t.Fatalf("seed %d: %d messages are never done", seed, o.o.t.hops.live)
			}
			o.step()
		}
		for k := range keys {
			if key := string(rune('a' + k)); o.done[key] != each {
				t.Errorf("seed %d: of key %s %d are done", seed, key, o.done[key])
			}
		}
		ring := o.o.t.steps[1].keys
		if len(ring.lines)+len(ring.of)+ring.count != 0 || ring.bytes != 0 || ring.flow.failed > 0 {
			t.Errorf("seed %d: the ring is not empty: %+v", seed, ring)
		}
		o.ledger()
	}
}

func (o *ordered) step() {
	o.o.now = o.o.bus.now()
	o.turn()
	o.look()
	switch o.rnd.IntN(12) {
	case 0:
		o.kill()
	default:
		o.answer(o.alive[o.rnd.IntN(len(o.alive))])
	}
	o.look()
}

// A hot key holds up nobody: keys take turns.
func TestKeysTakeTurns(t *testing.T) {
	work := sat("work")
	work.Work.Key, work.Work.InHand = "payload[:1]", 1
	st := newStage(t, sat("gen", "work"), work)
	src := st.join("gen", 0, 1, wire.HelloBody{Source: true})
	w := st.join("work", 0, 2, wire.HelloBody{Concurrency: 1})
	src.emit("a1", "a2", "a3", "b1", "c1", "b2")
	var got []string
	for _, rec := range w.only(wire.Data) {
		for {
			got = append(got, string(rec.Body))
			w.done(rec.N)
			more := w.only(wire.Data)
			if len(more) == 0 {
				break
			}
			rec = more[0]
		}
	}
	if want := "a1 b1 c1 a2 b2 a3"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	st.ledger()
}

// What was set aside, cancelled, expired or purged lets the next of its key go.
func TestEveryEndLetsTheNextOfItsKeyGo(t *testing.T) {
	work := sat("work")
	work.Work.Key, work.Work.Retries, work.Work.InHand = `"all"`, 0, 4
	st := newStage(t, sat("gen", "work"), work)
	src := st.join("gen", 0, 1, wire.HelloBody{Source: true})
	w := st.join("work", 0, 2, wire.HelloBody{Concurrency: 4})
	src.emit("1", "2", "3", "4")
	rec := w.only(wire.Data)
	if len(rec) != 1 {
		t.Fatalf("%d of one key are in hand", len(rec))
	}
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: rec[0].N}, []byte("never"))
	if rec = w.only(wire.Data); len(rec) != 1 || string(rec[0].Body) != "2" {
		t.Fatalf("after a message that was set aside: %v", rec)
	}
	if n := st.o.t.cancelTask(st.o.now, rec[0].M); n != 1 {
		t.Fatal(n)
	}
	st.turn()
	if rec = w.only(wire.Data); len(rec) != 1 || string(rec[0].Body) != "3" {
		t.Fatalf("after a message that was cancelled: %v", rec)
	}
	if n := st.o.t.purge(st.o.now, st.o.t.steps[1]); n != 1 {
		t.Errorf("%d were purged", n)
	}
	w.done(rec[0].N)
	src.emit("5")
	if rec = w.only(wire.Data); len(rec) != 1 || string(rec[0].Body) != "5" {
		t.Fatalf("after a purge: %v", rec)
	}
	w.done(rec[0].N)
	if st.o.t.hops.live != 0 {
		t.Errorf("%d hops are left", st.o.t.hops.live)
	}
	st.ledger()
}

// A message that was delayed came when its time did, though its id is older than others'; nobody loses sight of it.
func TestADelayedMessageStandsInLineWhereItCame(t *testing.T) {
	work := sat("work")
	work.Work.Key, work.Queue.TTL = `"all"`, 3_600_000_000_000
	st := newStage(t, sat("gen", "work"), work)
	tr, s := st.o.t, st.o.t.steps[1]
	st.join("gen", 0, 1, wire.HelloBody{Source: true}).emit(slices.Repeat([]string{"x"}, 200)...)
	late := s.keys.standing(&tr.hops)[0]
	s.keys.takeOut(&tr.hops, late)
	tr.hops.at(late).admitted = st.o.bus.now()
	tr.enqueue(s, late)
	for range 300 { // the list is made smaller now and then
		i, h := tr.hops.take(s.index)
		h.id, h.body, h.admitted = tr.nextID(), tr.bodies.copy([]byte("y")), st.o.bus.now()
		tk := tr.begin(h.admitted, none)
		h.tslot, h.task, h.from = tk, tr.tasks.at(tk).id, outside
		s.count.admitted++
		tr.hops.setState(i, waiting)
		tr.enqueue(s, i)
		if oldest := s.keys.oldest(&tr.hops); oldest == none {
			t.Fatal("those who stand in line have no oldest")
		}
		gone := s.keys.oldest(&tr.hops)
		s.keys.takeOut(&tr.hops, gone)
		tr.finish(h.admitted, gone, cancelled, "test")
		tr.next()
	}
	all := s.keys.standing(&tr.hops)
	if len(all) != s.keys.count || !slices.IsSortedFunc(all, func(a, b int32) int { return byArrival(tr.hops.at(a), tr.hops.at(b)) }) {
		t.Errorf("%d stand in line, counted %d", len(all), s.keys.count)
	}
	st.ledger()
}

// A delayed message whose time came while the loop was late arrived, by its time, before one it stands behind. The list of those in line
// took it for gone when it was made smaller: its ttl never ended it, and drop-oldest passed it over.
func TestWhoWokeLateIsNotForgottenInLine(t *testing.T) {
	work := sat("work")
	work.Work.Key, work.Queue.TTL = `payload`, time.Hour
	st := newStage(t, sat("gen", "work"), work)
	tr, s := st.o.t, st.o.t.steps[1]
	gen := st.join("gen", 0, 1, wire.HelloBody{Source: true})
	gen.emit("a", "a", "a")
	late := s.keys.standing(&tr.hops)[1] // behind another of its key
	tr.hops.at(late).admitted--
	gen.emit(slices.Repeat([]string{"b"}, 200)...)
	s.keys.compact(&tr.hops)
	if !slices.ContainsFunc(s.keys.order, func(e lined) bool { return e.slot == late }) {
		t.Error("it stands in line, and nobody knows")
	}
	st.ledger()
}
