package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// beyond is how far past the last message it was told of a producer can have got: what it had sent without an answer
// when it died. What lies further was never sent by anybody.
const beyond = 1 << 20

// verdict is the comparison. Every accepted message is either received or lost; the place of a loss tells its kind: a
// prefix is lost while starting, a postfix while ending, the middle is a hole that should never be.
type verdict struct {
	producers   int
	accepted    uint64
	received    uint64 // accepted and received, each counted once
	lostPrefix  uint64
	lostMiddle  uint64
	lostPostfix uint64
	duplicated  uint64 // receipts after the first
	unconfirmed uint64 // received, but the producer died before it could write that it was told
	invented    uint64 // received, but no producer can have sent it
}

func (v verdict) lost() uint64 { return v.lostPrefix + v.lostMiddle + v.lostPostfix }

func (v verdict) String() string {
	return fmt.Sprintf("producers %d  accepted %d  received %d  lost %d (prefix %d, middle %d, postfix %d)  duplicated %d  unconfirmed %d  invented %d\n",
		v.producers, v.accepted, v.received, v.lost(), v.lostPrefix, v.lostMiddle, v.lostPostfix, v.duplicated, v.unconfirmed, v.invented)
}

// account is one producer's messages by number.
type account struct {
	told []span
	got  map[uint64]uint32
}

type span struct{ first, last uint64 }

// judge compares what producers were told with what sinks got.
func judge(told, got []entry) verdict {
	accounts := map[string]*account{}
	for _, e := range told {
		a := accounts[e.producer]
		if a == nil {
			a = &account{got: map[uint64]uint32{}}
			accounts[e.producer] = a
		}
		a.told = append(a.told, span{e.first, e.last})
	}
	v := verdict{producers: len(accounts)}
	for _, e := range got {
		a := accounts[e.producer]
		if a == nil {
			// A producer killed before its first word: it exists when its numbers begin like one's.
			a = &account{got: map[uint64]uint32{}}
			accounts[e.producer] = a
		}
		for n := e.first; n <= e.last; n++ {
			a.got[n]++
		}
	}
	for name, a := range accounts {
		v.add(a, strings.Contains(name, "/"))
	}
	return v
}

// add counts one producer. known says that its name has the form a producer's has, PLACE/INCARNATION.
func (v *verdict) add(a *account, known bool) {
	told := merge(a.told)
	var top uint64
	for _, s := range told {
		top = max(top, s.last)
		v.accepted += s.last - s.first + 1
	}
	v.addLosses(told, a.got)
	for n, times := range a.got {
		v.duplicated += uint64(times - 1)
		switch {
		case covered(told, n):
			v.received++
		case known && n > top && n <= top+beyond:
			v.unconfirmed++
		default:
			v.invented++
		}
	}
}

// addLosses counts runs of accepted messages that were not received. A run that holds the first accepted message is a
// prefix, one that holds the last a postfix (when all are lost, too).
func (v *verdict) addLosses(told []span, got map[uint64]uint32) {
	if len(told) == 0 {
		return
	}
	first, last := told[0].first, told[len(told)-1].last
	var run uint64
	prefix := false
	end := func(postfix bool) {
		switch {
		case postfix:
			v.lostPostfix += run
		case prefix:
			v.lostPrefix += run
		default:
			v.lostMiddle += run
		}
		run, prefix = 0, false
	}
	for _, s := range told {
		for n := s.first; n <= s.last; n++ {
			if got[n] > 0 {
				end(false)
				continue
			}
			run++
			prefix = prefix || n == first
			if n == last {
				end(true)
			}
		}
	}
	end(false)
}

// merge sorts spans and joins those that touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && s.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, s.last)
			continue
		}
		out = append(out, s)
	}
	return out
}

func covered(spans []span, n uint64) bool {
	_, found := slices.BinarySearchFunc(spans, n, func(s span, n uint64) int {
		switch {
		case s.last < n:
			return -1
		case s.first > n:
			return 1
		}
		return 0
	})
	return found
}
