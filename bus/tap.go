package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/codec"
)

// A tap shows messages as they are given to workers. The loop pays one branch for each message while nobody taps; a tap
// costs it a copy of what is shown, and never makes it wait: what a viewer does not take in time is lost to the viewer, and counted.
const (
	mostTaps    = 16
	tapBuffer   = 64       // messages a viewer may be behind
	tapWhole    = 64 << 10 // bytes of a payload that is copied whole
	tapPart     = 4 << 10  // bytes of a longer one
	tapMostRate = 1000     // messages a second
	tapLinks    = 1 << 12  // links that are counted apart
	tapSecond   = int64(time.Second)
)

// TapQuery says which messages are wanted: those on the links from one step to another. An empty name is any step; with only To
// these are all messages given to it, from outside too.
type TapQuery struct {
	From, To string
	Sample   int     // of so many messages one is shown; 0 or 1: each
	Rate     float64 // messages shown in a second, at most; 0: 1,000
	Count    bool    // only counted: Counts, and nothing comes from C
}

// Tapped is one message on its way to a worker.
type Tapped struct {
	Time     time.Time
	ID, Task string
	From, To string // steps; From "": from outside
	Instance string // that it is given to
	Attempt  int
	Age      time.Duration // since it was admitted
	Codec    string
	Size     int
	Payload  []byte // its first 4 KiB where it is longer than 64 KiB
	Skipped  uint64 // messages since the last one that the sample or the rate left out
	Lost     uint64 // messages since the last one that should have been shown: the viewer was too slow
	reader   codec.Codec
}

// JSON is the payload as one line of JSON, for people.
func (m *Tapped) JSON() []byte {
	if len(m.Payload) < m.Size {
		return codec.Render(plain[0], m.Payload)
	}
	return codec.Render(m.reader, m.Payload)
}

// LinkCount is what went over one link.
type LinkCount struct {
	From, To        string // From "": from outside
	Messages, Bytes uint64
}

// Tap is one viewer's view, until Close.
type Tap struct {
	b     *Bus
	query TapQuery
	c     chan Tapped

	// Only the loop uses what follows.
	every         uint64
	seen          uint64
	next          int64 // when the rate allows the next one, ns
	skipped, lost uint64
	counts        map[[2]string]*LinkCount
}

// Tap opens a view; whoever opens it closes it. Errors are *Error.
func (b *Bus) Tap(ctx context.Context, q TapQuery) (*Tap, error) {
	if q.Sample < 0 || q.Rate < 0 {
		return nil, &Error{KindInvalid, "cannot tap: sample and rate are not below 0"}
	}
	if q.Rate == 0 || q.Rate > tapMostRate {
		q.Rate = tapMostRate
	}
	t := &Tap{b: b, query: q, c: make(chan Tapped, tapBuffer), every: uint64(max(q.Sample, 1)), counts: map[[2]string]*LinkCount{}}
	_, err := ask(ctx, b, func(o *orchester) (struct{}, error) {
		if err := o.tapable(&t.query); err != nil {
			return struct{}{}, err
		}
		o.taps = append(o.taps, t)
		return struct{}{}, nil
	})
	if err != nil {
		t.Close() // it may be opened after nobody waited for it any more
		return nil, err
	}
	return t, nil
}

// C brings the messages. It is never closed: the viewer knows when it has seen enough.
func (t *Tap) C() <-chan Tapped { return t.c }

// Close ends the view.
func (t *Tap) Close() {
	t.b.mail.post(func(o *orchester) {
		o.taps = slices.DeleteFunc(o.taps, func(x *Tap) bool { return x == t })
	})
}

// Counts is what went over each link since the last time it was asked, busiest first; links without messages are left out.
func (t *Tap) Counts(ctx context.Context) ([]LinkCount, error) {
	return ask(ctx, t.b, func(*orchester) ([]LinkCount, error) {
		list := make([]LinkCount, 0, len(t.counts))
		for _, c := range t.counts {
			list = append(list, *c)
		}
		clear(t.counts)
		slices.SortFunc(list, func(a, b LinkCount) int {
			if a.Messages != b.Messages {
				if a.Messages > b.Messages {
					return -1
				}
				return 1
			}
			return slices.Compare([]string{a.To, a.From}, []string{b.To, b.From})
		})
		return list, nil
	})
}

// tapable says whether there is such a link, and finds what a bare source means: what it puts out.
func (o *orchester) tapable(q *TapQuery) error {
	for _, name := range []string{q.From, q.To} {
		if name == "" || o.byName[name] != nil {
			continue
		}
		if o.bus.topology.Load().Satellite(name) != nil {
			return &Error{KindInvalid, fmt.Sprintf("cannot tap %s: it does not speak to the bus", name)}
		}
		return &Error{KindNotFound, fmt.Sprintf("cannot tap %q: no such satellite", name)}
	}
	from, to := o.byName[q.From], o.byName[q.To]
	switch {
	case len(o.taps) >= mostTaps:
		return &Error{KindConflict, fmt.Sprintf("cannot tap: %d views are open already", mostTaps)}
	case from == nil && to == nil && !q.Count:
		return &Error{KindInvalid, "cannot tap: want a step, or the two ends of a link"}
	case from != nil && to != nil && !slices.Contains(from.to, to):
		return &Error{KindNotFound, fmt.Sprintf("cannot tap %s to %s: there is no such link", q.From, q.To)}
	case from == nil && to != nil && to.source:
		q.From, q.To = q.To, ""
	}
	return nil
}

// tapped shows a hop that is given to a worker to those who want to see it.
func (o *orchester) tapped(w *worker, h *hop) {
	from := ""
	if h.from != outside {
		from = o.t.steps[h.from].name
	}
	for _, t := range o.taps {
		if (t.query.From == "" || t.query.From == from) && (t.query.To == "" || t.query.To == w.step.name) {
			t.take(o, from, w, h)
		}
	}
}

func (t *Tap) take(o *orchester, from string, w *worker, h *hop) {
	if t.query.Count {
		t.count(from, w.step.name, len(h.body.data))
		return
	}
	t.seen++
	if (t.seen-1)%t.every != 0 || o.now < t.next {
		t.skipped++
		return
	}
	if len(t.c) == cap(t.c) { // only the loop adds to it
		t.lost++
		return
	}
	t.next = max(t.next, o.now-tapSecond) + int64(float64(tapSecond)/t.query.Rate) // a pause is made up for, a second's worth at most
	m := Tapped{Time: o.wall(), ID: formatID(h.id), Task: formatID(h.task), From: from, To: w.step.name, Instance: w.name, Attempt: int(h.attempts),
		Age: duration(o.now - h.admitted), Codec: codecName(h.codec), Size: len(h.body.data), Skipped: t.skipped, Lost: t.lost, reader: o.readerOf(w.step.name, h.codec)}
	payload := h.body.data
	if len(payload) > tapWhole {
		payload = payload[:tapPart]
	}
	m.Payload = slices.Clone(payload)
	t.skipped, t.lost = 0, 0
	t.c <- m
}

func (t *Tap) count(from, to string, size int) {
	key := [2]string{from, to}
	c := t.counts[key]
	if c == nil {
		if len(t.counts) >= tapLinks { // a viewer that never asks
			return
		}
		c = &LinkCount{From: from, To: to}
		t.counts[key] = c
	}
	c.Messages++
	c.Bytes += uint64(size)
}
