package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// JournalName is the directory of the journal in the state directory.
const JournalName = "journal"

// journalPath is "" when there is no state directory.
func (b *Bus) journalPath() string {
	if b.cfg.StateDir == "" {
		return ""
	}
	return filepath.Join(b.cfg.StateDir, JournalName)
}

// needsDisk names a satellite whose queue wants the journal, or is "".
func needsDisk(t *topology.Topology) string {
	for _, s := range t.Satellites {
		if speaks(s) && (s.Queue.Delivery == topology.DeliveryDurable || s.Queue.Full == topology.FullSpill) {
			return s.Name
		}
	}
	return ""
}

// openDisk opens the journal if a queue of the topology wants it, or there is one, and remembers what it holds. tasks are those that
// were taken over by another way. Nothing runs yet.
func (b *Bus) openDisk(tasks map[uint64]int32) error {
	wanted, path := needsDisk(b.topology.Load()), b.journalPath()
	if wanted != "" && path == "" {
		return fmt.Errorf("cannot keep the queue of %s on disk: there is no state directory", wanted)
	}
	if wanted == "" {
		if _, err := os.Stat(path); path == "" || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	log, err := b.openJournal()
	if err != nil {
		return err
	}
	o := b.loop
	r := newRecall()
	r.formats = b.loop.t.formats
	r.leave, r.read = o.t.spillsBy(), reader(b.readPatiently)
	if err := log.Replay(r.record); err != nil {
		return errors.Join(fmt.Errorf("cannot read the journal in %s: %w", path, err), log.Close())
	}
	o.recall(r, tasks)
	if len(r.hops)+len(o.t.aside.list) > 0 {
		b.cfg.Log.Info("found in the journal", "messages", len(r.hops), "in_quarantine", len(o.t.aside.list), "path", path)
	}
	return nil
}

// recall goes on with what the journal tells.
func (o *orchester) recall(r *recall, tasks map[uint64]int32) {
	for ref, s := range r.sources {
		if k, known := o.resume[ref]; !known || k.Inc < s.Inc || k.Inc == s.Inc && k.Accepted < s.Accepted {
			o.resume[ref] = s
		}
		o.t.scroll.sources[ref] = sourceMark{inc: topology.Incarnation(s.Inc), accepted: s.Accepted}
	}
	o.t.recollect(o.now, r, tasks)
	o.recallReplies(r)
	o.recallHooks(r)
}

// openJournal opens the log and gives the loop its end of it. Only before the loop runs, or in it: see lateDisk.
func (b *Bus) openJournal() (*journal.Log, error) {
	log, err := b.makeJournal()
	if err != nil {
		return nil, err
	}
	b.loop.writeTo(log)
	return log, nil
}

func (b *Bus) makeJournal() (*journal.Log, error) {
	log, err := journal.Open(b.journalPath(), journal.Options{
		Epoch: b.cfg.Epoch, Log: b.cfg.Log, Segment: b.segment(), Limit: b.topology.Load().Daemon.Journal.Limit,
		Committed: func(seq uint64) {
			b.committed.Store(seq)
			b.mail.post((*orchester).commit)
		},
		Failed: func(err error) { b.mail.post(func(o *orchester) { o.diskFailed(err) }) },
	})
	if err != nil {
		return nil, fmt.Errorf("cannot open the journal of durable queues: %w", err)
	}
	b.journal.Store(log)
	return log, nil
}

// disk is a *journal.Log as the loop uses it: none of its methods but Close waits for anything.
type disk interface {
	journalLog
	Flush()
	Full() bool
	Close() error
}

// writeTo makes log the journal.
func (o *orchester) writeTo(log disk) {
	o.log = log
	o.t.writeTo(log)
	o.t.scroll.dead.segment = o.bus.segment()
}

// segment is the size of the journal's files.
func (b *Bus) segment() int64 {
	if n := b.topology.Load().Daemon.Journal.Segment; n > 0 {
		return n
	}
	return segmentBytes
}

func (t *tracker) writeTo(log journalLog) {
	t.scroll = newScroll(t.epoch, log)
	t.scroll.formats = t.formats
	t.aside.scroll = t.scroll
}

// lateDisk opens the journal for a topology that wants it while the bus runs: the loop touches no file.
func (b *Bus) lateDisk(ctx context.Context, next *topology.Topology) error {
	wanted := needsDisk(next)
	if wanted == "" {
		return nil
	}
	b.opening.Lock()
	defer b.opening.Unlock()
	open, err := ask(ctx, b, func(o *orchester) (bool, error) { return o.t.scroll != nil, nil })
	if err != nil || open {
		return err
	}
	if b.journalPath() == "" {
		return &Error{KindInvalid, fmt.Sprintf("cannot keep the queue of %s on disk: there is no state directory", wanted)}
	}
	log, err := b.makeJournal()
	if err != nil {
		return &Error{KindUnavailable, err.Error()}
	}
	err = log.Replay(func(journal.Record) error { return nil }) // there was none when the bus began
	if err == nil {
		_, err = ask(ctx, b, func(o *orchester) (struct{}, error) {
			o.writeTo(log)
			return struct{}{}, nil
		})
	}
	if err != nil {
		return errors.Join(err, log.Close())
	}
	return nil
}

// commit lets take effect what is on disk by now.
func (o *orchester) commit() {
	o.t.commit(o.bus.committed.Load(), o.tellSource)
}

// tellSource answers a source whose messages are on disk.
func (o *orchester) tellSource(s *session, n uint64) {
	if s.unwritten--; s.unwritten == 0 && !s.wrote {
		n = s.accepted
	}
	o.post(s.peer, &wire.Header{Kind: wire.Accepted, N: n}, nil)
}

// diskFailed takes note of what the journal's writer says: nil, all is well again.
func (o *orchester) diskFailed(err error) {
	switch {
	case err != nil:
		o.trouble = err.Error()
		o.tellEvent("", topology.Ref{}, 0, "the journal takes nothing new for durable queues, and the others go on: "+err.Error())
	case o.trouble != "":
		o.trouble = ""
		o.tellEvent("", topology.Ref{}, 0, "the journal is well again, and durable queues go on")
	}
	o.t.unblocked = true
}

// written notes that an EMIT of s was admitted, and waits for the disk if one of its queues does.
func (o *orchester) written(s *session) {
	if o.t.scroll == nil {
		return
	}
	for _, to := range s.step.to {
		if to.cfg.durable {
			s.wrote = true
		}
	}
	if o.t.scroll.spilt {
		s.wrote, o.t.scroll.spilt = true, false
	}
	if o.t.scroll.large() {
		o.seal()
	}
}

// seal ends the record in the making. It must not come between a DONE and its outputs.
func (o *orchester) seal() {
	d := o.t.scroll
	for _, s := range o.acks {
		if s.wrote && len(d.buf) > 0 {
			if !s.filter {
				d.source(s.inst.ref, s.inst.inc, s.accepted)
			}
			d.cur.told = append(d.cur.told, told{s, s.accepted})
			s.unwritten++
		}
		s.wrote = false
	}
	d.seal(o.t)
}

// write ends a turn on disk.
func (o *orchester) write() {
	if o.t.collect(o.now) {
		o.bus.mail.post(func(*orchester) {}) // another turn, for more of it
	}
	o.seal()
	o.log.Flush()
	full := o.log.Full()
	if full {
		o.look = o.now + int64(lookAgain)
		o.sayJammed()
	}
	if full == o.full {
		return
	}
	o.full = full
	for _, s := range o.t.steps {
		s.stick(full)
	}
	if !full {
		o.sayJammed()
		o.look = 0
		o.again()
	}
}

// lookAgain is how soon the loop looks whether the journal takes something again. Its commits wake the loop too.
const lookAgain = 20 * time.Millisecond

// again makes the loop take another turn, in which those who waited are let in.
func (o *orchester) again() {
	o.bus.mail.post(func(o *orchester) { o.t.unblocked = true })
}

// adopt takes the answer of a worker that had the message from an earlier daemon: when the journal knows that it did, and the hop is
// open still, it is done.
func (o *orchester) adopt(s *session, r *wire.Record) bool {
	found := false
	for n := r.N; n <= max(r.N, r.M) && n-r.N < math.MaxUint16; n++ {
		e, known := o.t.before[dispatchID{r.Epoch, n}]
		if !known || o.t.hops.at(e.slot).id != e.id || o.t.hops.step(e.slot) != s.step.index {
			continue
		}
		if n == r.N && !o.adoptOutputs(s, r, e) {
			continue
		}
		delete(o.t.before, dispatchID{r.Epoch, n})
		for _, i := range o.t.pick(s.step, func(i int32) bool { return i == e.slot }) {
			o.t.finish(o.now, i, done, "")
			found = true
		}
	}
	o.t.unblocked = o.t.unblocked || found
	return found
}

// adoptOutputs admits what such an answer puts out, if its links are those of this session.
func (o *orchester) adoptOutputs(s *session, r *wire.Record, e entry) bool {
	if len(r.Body) == 0 {
		return true
	}
	for it := r.Outputs(); it.Next(&o.out); {
		if s.checkPort(o.out.Port) != nil {
			return false
		}
	}
	for it := r.Outputs(); it.Next(&o.out); {
		o.out.Codec = s.coded(o.out.Codec)
		o.t.outputOf(o.now, s.step, e.slot, &o.out)
	}
	return true
}

// Kept is what durable queues hold, and what others have spilled: it stays on disk when the bus is closed.
type Kept struct {
	Step     string
	Messages int // that wait, for a worker or for their retry, and those in hand
	Aside    int // in quarantine
}

// Kept counts what is on disk by step; steps without anything are not named.
func (b *Bus) Kept(ctx context.Context) ([]Kept, error) {
	return ask(ctx, b, func(o *orchester) ([]Kept, error) {
		var all []Kept
		for _, s := range o.t.steps {
			k := Kept{Step: s.name}
			if s.cfg.durable {
				k.Messages = s.queued() + s.entering + s.holds() + s.inHand()
			} else if s.disk {
				k.Messages = o.t.scribed(s)
			}
			for _, m := range o.t.aside.list {
				if m.step == s.name && m.onDisk {
					k.Aside++
				}
			}
			if k.Messages+k.Aside > 0 {
				all = append(all, k)
			}
		}
		return all, nil
	})
}

// resting is how many hops stay on disk when the daemon ends: nobody has to wait for them.
func (t *tracker) resting() int {
	n := 0
	for _, s := range t.steps {
		if (s.cfg.durable || s.resting) && t.scroll != nil {
			n += s.queued() + s.holds()
		}
	}
	return n
}

// closeDisk writes what is not on disk yet and closes the journal. The loop has ended.
func (b *Bus) closeDisk() {
	if b.loop.log == nil {
		return
	}
	if err := b.loop.log.Close(); err != nil {
		b.cfg.Log.Error("cannot close the journal: " + err.Error())
	}
}

// breath ends a record that has become large, between two messages.
func (o *orchester) breath() {
	if d := o.t.scroll; d != nil && d.large() {
		o.seal()
	}
}
