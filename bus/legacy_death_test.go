package bus

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// What a dead worker had is known by what was sent and not ended: it goes to another, once.
func TestLegacyWorkerDies(t *testing.T) {
	p := newPast(t, oldLinks, topology.V1Quarantine, old("cpu"))
	a := p.spawn("cpu", 0, 100)
	for n := range 4 {
		p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, n))
	}
	if got := len(p.sent("PUSH_ORCHESTER_cpu")); got != 4 {
		t.Fatalf("%d sent", got)
	}
	p.hear("PUSH_any_TRACKER", tell("ACK", "TERMINUS", 100, 1), tell("HAPPY_END", "TERMINUS", 100, 1), tell("ACK", "TERMINUS", 100, 2))
	p.kill("cpu", 0, a)
	if l := p.ledger("cpu"); l.Done != 1 || l.Held != 1 || l.InFlight != 2 {
		t.Errorf("what it had is not back at once: %+v", l)
	}
	p.spawn("cpu", 0, 200)
	p.want("PUSH_ORCHESTER_cpu") // ZeroMQ may not know yet that the other is dead
	p.later(time.Duration(deadQuiet))
	if got := len(p.sent("PUSH_ORCHESTER_cpu")); got != 1 {
		t.Errorf("a suspect goes alone, and %d were sent", got)
	}
	if l := p.ledger("cpu"); l.Held != 2 || l.InFlight != 1 || l.Redelivered != 1 {
		t.Errorf("%+v", l)
	}
	p.hear("PUSH_any_TRACKER", tell("ACK", "TERMINUS", 200, 2), tell("HAPPY_END", "TERMINUS", 200, 2))
	if got := len(p.sent("PUSH_ORCHESTER_cpu")); got != 2 {
		t.Errorf("%d sent after it", got)
	}
}

// emitJSON emits one JSON message.
func (a *actor) emitJSON(body string) {
	a.seq++
	a.say(&wire.Header{Kind: wire.Emit, Epoch: 7, N: a.seq, Port: wire.AllLinks, Codec: wire.JSON}, []byte(body))
}

// What was sent before a death and is not acknowledged may lie in the pipe of a living worker. It is sent again when that one has shown
// that it does not: it acknowledged something sent later, or is idle for a while.
func TestLegacyDoubt(t *testing.T) {
	for _, proof := range []string{"acknowledges a later one", "is idle", "says nothing until the deadline"} {
		t.Run(proof, func(t *testing.T) {
			cpu := old("cpu")
			cpu.Work.Deadline = 20 * time.Second
			p := newPast(t, oldLinks, topology.V1Quarantine, cpu)
			a := p.spawn("cpu", 0, 100)
			p.spawn("cpu", 1, 200)
			for n := range 4 { // to 100: tasks 1 and 3, to 200: 2 and 4
				p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, n))
			}
			p.sent("PUSH_ORCHESTER_cpu")
			p.hear("PUSH_any_TRACKER", tell("ACK", "TERMINUS", 100, 1), tell("HAPPY_END", "TERMINUS", 100, 1), tell("ACK", "TERMINUS", 200, 2))
			p.kill("cpu", 0, a)
			p.later(time.Duration(deadQuiet))
			p.want("PUSH_ORCHESTER_cpu")
			switch proof {
			case "acknowledges a later one":
				p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 9))
				if got := len(p.sent("PUSH_ORCHESTER_cpu")); got != 1 {
					t.Errorf("%d sent", got)
				}
				p.hear("PUSH_any_TRACKER", tell("HAPPY_END", "TERMINUS", 200, 2), tell("ACK", "TERMINUS", 200, 4), tell("HAPPY_END", "TERMINUS", 200, 4), tell("ACK", "TERMINUS", 200, 10))
			case "is idle":
				p.hear("PUSH_any_TRACKER", tell("HAPPY_END", "TERMINUS", 200, 2), tell("ACK", "TERMINUS", 200, 4), tell("HAPPY_END", "TERMINUS", 200, 4))
				p.want("PUSH_ORCHESTER_cpu")
				p.later(time.Duration(idleProof))
			default:
				p.hear("PUSH_any_TRACKER", tell("HAPPY_END", "TERMINUS", 200, 2), tell("ACK", "TERMINUS", 200, 4))
				p.want("PUSH_ORCHESTER_cpu")
				p.later(20 * time.Second)
			}
			p.later(0)
			p.want("PUSH_ORCHESTER_cpu", "here:orchester:0:99:cpu|clock(0):cpu:load:3:INIT:2|simplejson|{}")
			if l := p.ledger("cpu"); l.Redelivered != 1 {
				t.Errorf("%+v", l)
			}
		})
	}
}

func TestLegacyErrors(t *testing.T) {
	cpu := old("cpu", "csv")
	cpu.V1.MaxRetry = 3
	p := newPast(t, append(oldLinks, "PUSH_cpu_CSV"), topology.V1Quarantine, cpu, sat("csv"))
	p.spawn("cpu", 0, 100)
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 0))
	p.hear("PUSH_any_TRACKER", tell("ACK", "unset", 100, 1), tell("ERROR", "unset", 100, 1), tell("ERROR", "unset", 100, 1))
	if q := p.o.t.queues(p.o.now)[0]; q.InFlight != 1 || q.Failed != 0 {
		t.Errorf("it tries again by itself: %+v", q)
	}
	p.hear("PUSH_any_TRACKER", tell("ERROR", "unset", 100, 1))
	if q := p.o.t.queues(p.o.now)[0]; q.InFlight != 0 || q.Failed != 1 || q.Held != 1 {
		t.Errorf("its third attempt was the last: %+v", q)
	}
	p.later(time.Second)
	if got := len(p.sent("PUSH_ORCHESTER_cpu")); got != 2 {
		t.Errorf("%d sent", got)
	}
	// One that goes on to the next message has given up, whatever it was told.
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 5))
	p.hear("PUSH_any_TRACKER", tell("ACK", "unset", 100, 1), tell("ERROR", "unset", 100, 1), tell("ACK", "unset", 100, 6))
	if q := p.o.t.queues(p.o.now)[0]; q.Failed != 2 || q.InFlight != 1 {
		t.Errorf("%+v", q)
	}
	// Outputs that never come are not waited for without end.
	p.hear("PUSH_any_TRACKER", tell("HAPPY_END", "unset", 100, 6))
	p.later(time.Duration(outputPatience))
	if l := p.ledger("cpu"); l.Done != 1 {
		t.Errorf("%+v", l)
	}
}

func TestLegacyWorkerHangs(t *testing.T) {
	cpu := old("cpu")
	cpu.Work.Deadline = time.Second
	p := newPast(t, oldLinks, topology.V1Quarantine, cpu)
	p.spawn("cpu", 0, 100)
	p.spawn("cpu", 1, 200)
	p.hear("PUSH_any_ORCHESTER", fmt.Sprintf(order, 0), fmt.Sprintf(order, 1))
	p.sent("PUSH_ORCHESTER_cpu")
	p.hear("PUSH_any_TRACKER", tell("ACK", "TERMINUS", 100, 1))
	p.later(time.Second)
	if got := strings.Join(p.faults, "; "); got != "cpu:0: no answer for 1s on clock(0):cpu:load:1; cpu:1: it takes nothing: messages were sent, and none acknowledged for 1s" {
		t.Errorf("%q", got)
	}
	p.faults = nil
	p.later(time.Second / 2)
	if len(p.faults) > 0 {
		t.Errorf("told twice: %q", p.faults)
	}
}
