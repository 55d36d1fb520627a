package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/topology"
)

// pipeWorld is workers of DSAT 0.6 and what ZeroMQ does between us and them: a socket that gives messages to connected workers in turn,
// pipes that die with their worker.
type pipeWorld struct {
	*past
	workers []*pipeWorker
	box     []string // given to the socket, not yet in a pipe
	next    int
	pids    int
	orders  int
	handled map[string]int // by task_id on the wire
}

type pipeWorker struct {
	pid, wid int
	inc      topology.Incarnation
	pipe     []string
	now      string // what it handles; "": nothing
	said     []string
}

func (w *pipeWorld) spawn() {
	if len(w.workers) == 3 {
		return
	}
	w.pids++
	wid := 0
	for slices.ContainsFunc(w.workers, func(x *pipeWorker) bool { return x.wid == wid }) {
		wid++
	}
	w.workers = append(w.workers, &pipeWorker{pid: w.pids, wid: wid, inc: w.past.spawn("cpu", wid, w.pids)})
}

// move lets the socket give out one message.
func (w *pipeWorld) move() {
	for _, f := range w.ports["PUSH_ORCHESTER_cpu"].peer.box.take(nil) {
		w.box = append(w.box, string(f))
	}
	if len(w.box) == 0 || len(w.workers) == 0 {
		return
	}
	k := w.workers[w.next%len(w.workers)]
	w.next++
	k.pipe = append(k.pipe, w.box[0])
	w.box = w.box[1:]
	w.ports["PUSH_ORCHESTER_cpu"].peer.v1.taken.Add(1)
}

func (w *pipeWorld) report(k *pipeWorker, event, next string) {
	v, err := v1.Parse([]byte(k.now))
	if err != nil {
		w.t.Fatal(err)
	}
	v.Step, v.WID, v.PID, v.Next, v.Event = []byte("cpu"), fmt.Append(nil, k.wid), fmt.Append(nil, k.pid), []byte(next), []byte(event)
	k.said = append(k.said, string(v.Append(nil)))
}

// step lets a worker do one thing: take a message, or end the one it has.
func (w *pipeWorld) step(k *pipeWorker, how string) {
	if k.now == "" {
		if len(k.pipe) > 0 {
			k.now, k.pipe = k.pipe[0], k.pipe[1:]
			w.report(k, v1.Ack, v1.Terminus)
		}
		return
	}
	if how == v1.HappyEnd {
		v, _ := v1.Parse([]byte(k.now))
		w.handled[string(v.TaskID)]++
		w.report(k, v1.HappyEnd, v1.Terminus)
	}
	w.report(k, how, v1.Terminus)
	k.now = ""
}

// talk brings what a worker has said.
func (w *pipeWorld) talk(k *pipeWorker) {
	said := k.said
	k.said = nil
	w.hear("PUSH_any_TRACKER", said...)
}

func (w *pipeWorld) kill(k *pipeWorker) {
	w.workers = slices.DeleteFunc(w.workers, func(x *pipeWorker) bool { return x == k })
	w.talk(k)
	w.past.kill("cpu", k.wid, k.inc)
	w.answerEmptying()
}

// answerEmptying does what the carrier does when the loop wants back what was not sent.
func (w *pipeWorld) answerEmptying() {
	if e := w.o.legacy.steps["cpu"]; e.emptying {
		p := w.ports["PUSH_ORCHESTER_cpu"].peer
		p.v1.taken.Add(uint64(len(p.box.take(nil)) + len(w.box)))
		w.box = nil
		w.o.inputEnded(w.ports["PUSH_ORCHESTER_cpu"].peer, nil)
		w.turn()
	}
}

// Whatever workers do and however they die, the law of conservation holds at every moment, and in the end every order was handled or is
// in quarantine.
func TestLegacyModel(tt *testing.T) {
	rapid.Check(tt, func(t *rapid.T) {
		cpu := old("cpu")
		cpu.Work.Retries, cpu.Work.Crashes, cpu.Work.InHand = 100, rapid.IntRange(1, 5).Draw(t, "crashes"), rapid.IntRange(1, 4).Draw(t, "in hand")
		cpu.Work.Deadline = time.Minute
		w := &pipeWorld{past: newPast(tt, oldLinks, topology.V1Quarantine, cpu), handled: map[string]int{}}
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			pick := func() *pipeWorker {
				if len(w.workers) == 0 {
					return nil
				}
				return rapid.SampledFrom(w.workers).Draw(t, "worker")
			}
			switch what := rapid.SampledFrom([]string{"order", "order", "spawn", "move", "move", "move", "step", "step", "step", "talk", "talk", "error", "kill", "later"}).Draw(t, "event"); what {
			case "order":
				w.orders++
				w.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, w.orders))
			case "spawn":
				w.spawn()
			case "move":
				w.move()
			case "later":
				w.later(time.Duration(rapid.SampledFrom([]int64{1e6, deadQuiet, idleProof, 1e9}).Draw(t, "time")))
				w.answerEmptying()
			default:
				k := pick()
				switch {
				case k == nil:
				case what == "step":
					w.step(k, v1.HappyEnd)
				case what == "error":
					w.step(k, v1.Failed)
				case what == "talk":
					w.talk(k)
				default:
					w.kill(k)
				}
			}
			if l := w.o.t.ledger(); !l.Balanced() || l.Admitted != uint64(w.orders) {
				t.Fatalf("after %d orders: %+v", w.orders, l)
			}
		}
		w.settle(t)
	})
}

// settle lets good workers do the rest.
func (w *pipeWorld) settle(t *rapid.T) {
	w.spawn()
	for range 2000 {
		if w.o.t.hops.live == 0 {
			break
		}
		w.move()
		for _, k := range slices.Clone(w.workers) {
			w.step(k, v1.HappyEnd)
			w.talk(k)
		}
		w.later(50 * time.Millisecond)
		w.answerEmptying()
	}
	l := w.o.t.ledger()
	if w.o.t.hops.live > 0 || !l.Balanced() || l.Done+l.Quarantined != uint64(w.orders) {
		e := w.o.legacy.steps["cpu"]
		t.Fatalf("not all of %d ended: %+v; flights %d, doubt %+v, open %v", w.orders, l, len(e.flights), e.doubt, e.sess.open)
	}
	if len(w.handled)+int(l.Quarantined) < w.orders {
		t.Fatalf("%d of %d handled, %d in quarantine", len(w.handled), w.orders, l.Quarantined)
	}
	if e := w.o.legacy.steps["cpu"]; len(e.flights) > 0 || len(e.byKey) > 0 {
		t.Fatalf("flights are left: %v", e.byKey)
	}
	if strings.Join(w.faults, "") != "" {
		t.Fatalf("faults: %q", w.faults)
	}
}
