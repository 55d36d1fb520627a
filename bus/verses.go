package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A record of the journal is what one turn of the loop has done to hops on disk, or a part of a turn that begins and ends between
// two messages: a DONE and its outputs are in one record, so that both are on disk or neither.
//
// Its body: u8 version (2; 1 is the same without the verses from 21 on), uvarint epoch of the daemon, then verses until the end. A verse is one byte, which says what it is,
// and fields: numbers are uvarints unless said otherwise; text and payloads are a length and so many bytes; an id is the
// difference to the id before it in the record, zigzag (the first one to 0); a step is its number in the record, by verseStep.
// Every record stands for itself but for the hops it speaks of, so that the oldest ones can be removed when these have ended.
const (
	recordKind    = 1 // of the journal's records; others are not ours
	recordVersion = 2
	oldestVersion = 1 // that is read
)

const (
	verseStep    = 1  // number, name: a step that this record speaks of
	verseBody    = 2  // payload: of the hops that follow
	verseAdmit   = 3  // id, task id, step, from + 1 (0: outside; number of a step), origin of the task + 1, codec, hops: a hop that waits, admitted now
	versePut     = 4  // as admit, then flags, attempts, fails, crashes, age ns, delay ns, evidence: a hop as it is; takes the place of an older one
	verseEnd     = 5  // id, state
	verseGive    = 6  // id, dispatch
	verseFail    = 7  // id, delay ns, evidence: it is tried again after the delay
	verseCrash   = 8  // id, evidence
	verseAside   = 9  // id, reason, evidence: a hop goes to quarantine
	verseSetDown = 10 // id, task id, step name, wall ns, reason, attempts, crashes, codec, payload, evidence: a message in quarantine, whole
	verseTaken   = 11 // id: out of quarantine
	verseSource  = 12 // name, wid, incarnation, accepted
	verseMove    = 13 // count, then old name, new name of each: steps have other names, all at once
	verseForget  = 14 // id: its queue is not durable any more
	verseFresh   = 16 // the steps of this record are numbered anew
	verseReply   = 17 // task id, step name, state, reason, wall ns of promise or end, wall ns of the deadline, outputs left out, count, then codec name and payload of each: the reply to a detached call, whole; takes the place of an older one
	verseHook    = 19 // task id, step name, state, reason, hops, those that failed: what the topology wants at the end of a task is owed
	verseHooked  = 20 // task id: it was done
	verseFormat  = 24 // format (codec.Spec.Text; "": nobody knows it): of the messages that follow in the record whose codec is struct
	verseKept    = 18 // task id: nobody wants the reply any more
	verseID      = 21 // step, id high, id low, task id, age ns: a message with this id of its sender's was let into the queue
	verseBlind   = 22 // step: the ids of its queue that were told of are not known any more
	verseLimit   = 23 // task id, ns: the task of hops that follow in the record must have ended by then
	verseTry     = 25 // id, ns since it was sent, ns since it ended, worker, reason: an attempt that failed
)

// Flags of versePut.
const (
	putFailed  = 1 << 0 // another hop of its task has failed
	putDelayed = 1 << 1 // it was delayed, and came when its time did: not in the order of the numbers
)

// verse is one of them as it is read.
type verse struct {
	kind            uint8
	id, task, n, m  uint64 // n: dispatch, incarnation, wall; m: accepted, state
	step            int    // numbers in the record; from, origin: -1 none
	from, origin    int
	name            string
	names           map[string]string // old, new
	codec, hops     uint16
	flags           uint8
	attempts, fails uint16
	crashes         uint16
	age, delay      int64
	evidence        []string
	body            []byte // a view
	off             uint32 // of body in the record
	reason          string
	reply           *replyWall
	hooked          *hookLog
}

// verses reads a record.
type verses struct {
	epoch uint32
	b     []byte
	at    int
	id    uint64
	err   error
}

var errVerse = errors.New("it ends in the midst of an entry")

func readVerses(body []byte) (*verses, error) {
	r := &verses{b: body}
	if len(body) == 0 {
		return nil, errVerse
	}
	if v := body[0]; v < oldestVersion || v > recordVersion {
		return nil, fmt.Errorf("it is of version %d, and this dsatd reads %d to %d: let the dsatd that wrote it work off its durable queues, or go on with that one", v, oldestVersion, recordVersion)
	}
	r.at = 1
	r.epoch = uint32(r.number())
	return r, r.err
}

func (r *verses) number() uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.at += n
	return v
}

func (r *verses) fail() {
	if r.err == nil {
		r.err = errVerse
	}
	r.at = len(r.b)
}

func (r *verses) nextID() uint64 {
	d := r.number()
	r.id += d>>1 ^ -(d & 1)
	return r.id
}

func (r *verses) bytes() []byte {
	n := r.number()
	if n > uint64(len(r.b)-r.at) {
		r.fail()
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at : r.at]
}

// since is a time that is not negative.
func (r *verses) since() int64 { return int64(min(r.number(), math.MaxInt64/4)) }

func (r *verses) text() string { return string(r.bytes()) }

func (r *verses) small() uint16 { return uint16(min(r.number(), 1<<16-1)) }

func (r *verses) lines() []string {
	n := r.number()
	if n > uint64(len(r.b)-r.at) {
		r.fail()
		return nil
	}
	var l []string
	for range n {
		l = append(l, r.text())
	}
	return l
}

// next reads a verse and reports whether there was one; afterwards err says why not.
func (r *verses) next(v *verse) bool {
	if r.at >= len(r.b) || r.err != nil {
		return false
	}
	*v = verse{kind: r.b[r.at]}
	r.at++
	switch v.kind {
	case verseStep:
		v.step, v.name = int(r.small()), r.text()
	case verseBody:
		v.body = r.bytes()
		v.off = uint32(r.at - len(v.body))
	case verseAdmit, versePut:
		r.hop(v)
	case verseEnd:
		v.id, v.m = r.nextID(), r.number()
	case verseGive:
		v.id, v.n = r.nextID(), r.number()
	case verseFail:
		v.id, v.delay, v.evidence = r.nextID(), int64(r.number()), r.lines()
	case verseCrash:
		v.id, v.evidence = r.nextID(), r.lines()
	case verseAside:
		v.id, v.reason, v.evidence = r.nextID(), r.text(), r.lines()
	case verseSetDown:
		v.id, v.task, v.name, v.n, v.reason = r.nextID(), r.number(), r.text(), r.number(), r.text()
		v.attempts, v.crashes, v.codec = r.small(), r.small(), r.small()
		v.body, v.evidence = r.bytes(), r.lines()
	case verseReply:
		r.promise(v)
	case verseHook:
		r.hook(v)
	case verseTaken, verseForget, verseKept, verseHooked:
		v.id = r.nextID()
	case verseSource:
		v.name, v.step, v.n, v.m = r.text(), int(r.small()), r.number(), r.number()
	case verseMove:
		v.names = map[string]string{}
		for n := r.number(); n > 0 && r.err == nil; n-- {
			from := r.text()
			v.names[from] = r.text()
		}
	case verseFormat:
		v.name = r.text()
	case verseFresh:
	case verseID:
		v.step, v.n, v.m, v.task, v.age = int(r.small()), r.number(), r.number(), r.number(), r.since()
	case verseBlind:
		v.step = int(r.small())
	case verseLimit:
		v.task, v.delay = r.number(), r.since()
	case verseTry:
		v.id, v.delay, v.age = r.nextID(), r.since(), r.since()
		v.name, v.reason = r.text(), r.text()
	default:
		r.err = fmt.Errorf("it has an entry of kind %d, which this dsatd does not know", v.kind)
	}
	return r.err == nil
}

func (r *verses) hop(v *verse) {
	v.id, v.task = r.nextID(), r.number()
	v.step, v.from, v.origin = int(r.small()), int(r.small())-1, int(r.small())-1
	v.codec, v.hops = r.small(), r.small()
	if v.kind == versePut {
		v.flags = uint8(r.small())
		v.attempts, v.fails, v.crashes = r.small(), r.small(), r.small()
		v.age, v.delay, v.evidence = int64(r.number()), int64(r.number()), r.lines()
	}
}
