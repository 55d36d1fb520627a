package bus

import (
	"context"
	"maps"
	"slices"
	"time"
)

// LegacyStatus is the door for satellites of DSAT 0.6 at one moment.
type LegacyStatus struct {
	Where string
	Ports []LegacyPort // one for each socket, in the order of their links
	Steps []LegacyStep // those that speak v1, by name
}

// LegacyPort is one socket, and what came and went through it.
type LegacyPort struct {
	Links     []string // that share it
	Endpoint  string
	Socket    string            // PUSH, PULL, PUB, SUB
	Bound     bool              // else it connects
	End       string            // where dsatd stands: orchester, tracker, or the name of a satellite
	In, Out   uint64            // vectors
	Waiting   int               // received and not admitted, or not sent yet
	Paused    bool              // nothing is read from it, for what waits
	Malformed map[string]uint64 // vectors that could not be read, by reason
	Refused   map[string]uint64 // well-formed ones that were not taken, by reason
	Peers     map[string]uint64 // both, by address, of tcp; the first 64
	Last      string            // why the last one was not taken
}

// LegacyStep is a satellite that speaks v1.
type LegacyStep struct {
	Name    string
	Fed     bool // a link leads to it
	Open    bool // it may be sent something now
	Sent    int  // sent and not acknowledged
	Handled int  // acknowledged and not ended
	Doubted int  // of those sent: sent before a process died that may have had them; known soon
	Errors  uint64
	Late    uint64 // reports about what nobody has in hand
	Twice   uint64 // HAPPY_ENDs of last steps beyond the first
	Seen    uint64 // reports of one that dsatd sends nothing to, about what others sent it
	Lives   []LegacyLife
}

// LegacyLife is a process that speaks v1.
type LegacyLife struct {
	Instance string
	PID      string
	Handled  int
	Silent   time.Duration // since its last report, or its start
}

// Legacy says what came and went by [bus.v1]; nil: there is none. Errors are *Error.
func (b *Bus) Legacy(ctx context.Context) (*LegacyStatus, error) {
	return ask(ctx, b, func(o *orchester) (*LegacyStatus, error) { return o.legacy.status(), nil })
}

func (l *legacy) status() *LegacyStatus {
	if l == nil {
		return nil
	}
	st := &LegacyStatus{Where: l.conf.Where}
	for _, p := range l.ports {
		out := LegacyPort{Links: slices.Clone(p.links), Endpoint: p.url, Socket: string(p.socket), Bound: p.bind, End: p.end, In: p.in, Out: p.out,
			Waiting: len(p.pending) + p.peer.box.waiting(), Paused: p.peer.v1.paused.Load(), Malformed: map[string]uint64{}, Refused: maps.Clone(p.refused), Peers: maps.Clone(p.peers), Last: p.why}
		for reason, n := range p.malformed {
			out.Malformed[string(reason)] = n
		}
		st.Ports = append(st.Ports, out)
	}
	for _, name := range slices.Sorted(maps.Keys(l.steps)) {
		st.Steps = append(st.Steps, l.steps[name].status(l.o.now))
	}
	return st
}

func (e *elder) status(now int64) LegacyStep {
	out := LegacyStep{Name: e.step.name, Fed: e.out != nil, Open: e.sess.open, Errors: e.errors, Late: e.late, Twice: e.twice, Seen: e.seen}
	for _, f := range e.flights {
		switch {
		case f.acked:
			out.Handled++
		default:
			out.Sent++
			if e.quiet > 0 || e.doubt.since > 0 && f.place <= e.doubt.place {
				out.Doubted++
			}
		}
	}
	for _, l := range e.lives {
		out.Lives = append(out.Lives, LegacyLife{Instance: l.inst.ref.String(), PID: l.pid, Handled: len(l.flights), Silent: duration(now - l.heard)})
	}
	return out
}
