package bus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// A detached call is answered at once with the id of its task; its reply is kept here until it is closed, or until it has been there for
// an hour, or until newer ones need the room. Whoever has the id fetches it, as often as he likes (Titanic's promise, rfc 9 of ZeroMQ).
const (
	replyCount = 10_000   // at most so many are kept or awaited
	replyBytes = 64 << 20 // of the outputs that are kept
	replyAge   = time.Hour
)

// replies is all that are kept or awaited.
type replies struct {
	by    map[uint64]*keptReply // by task
	ended []*keptReply          // in the order of their ends; those that are closed too, for a while
	bytes int
	given uint64      // up for room or for their age
	old   []replyWall // of an earlier daemon, until all that it left is there
}

// keptReply is one of them. It is the asker of its call.
type keptReply struct {
	id       uint64
	step     string
	state    string // "running" until the end
	reason   string
	results  []Result
	bytes    int
	omitted  int
	at       int64 // of its end, ns since the start
	call     *sending
	accepted func(Sent, error) // nil: it was told
	fetching []chan struct{}   // closed at the end
	promise  promise
}

// CallDetached sends a message and returns as soon as it is admitted, with Sent.State "accepted" and the id under which Reply tells
// what came of it. The task goes on whoever comes or goes; Call.Within, if it is set, is its deadline. Errors are *Error, and then nothing
// was sent: those of Call, and KindUnavailable when too many replies are awaited.
func (b *Bus) CallDetached(ctx context.Context, c Call) (Sent, error) {
	type answer struct {
		sent Sent
		err  error
	}
	told := make(chan answer, 1)
	k := &keptReply{step: c.To, state: "running", accepted: func(sent Sent, err error) { told <- answer{sent, err} }}
	if c.Session != "" {
		return Sent{}, &Error{KindInvalid, "cannot detach a call of a session: it ends with its instance"}
	}
	k.call = &sending{wait: true, lasting: true, by: k}
	if c.Within > 0 {
		k.call.due = b.now() + int64(c.Within)
		k.call.lasting = false // its deadline is not that of a wait
	}
	if err := b.hand(k.call, c.To, c.Codec, c.Payload); err != nil {
		return Sent{}, err
	}
	select {
	case a := <-told:
		return a.sent, a.err
	case <-b.done:
		return Sent{}, errClosed
	case <-ctx.Done():
	}
	b.mail.post(func(o *orchester) { o.abandonDetached(k) })
	stuck := time.NewTimer(loopPatience)
	defer stuck.Stop()
	select {
	case a := <-told:
		return a.sent, a.err
	case <-stuck.C:
		return Sent{}, &Error{KindTimeout, "cannot tell whether the message was taken: the bus does not answer"}
	case <-b.done:
		return Sent{}, errClosed
	}
}

// abandonDetached takes back a call that is not admitted yet; one that is has been told, or will be.
func (o *orchester) abandonDetached(k *keptReply) {
	if k.call.sent.Task == "" {
		o.withdraw(k.call, cancelled, "")
		o.answer(k.call, Sent{}, &Error{KindTimeout, fmt.Sprintf("cannot call %s: its queue is full", k.step)})
	}
}

// Reply tells what came of a detached call: Sent.State is running, done, failed, expired or lost. With wait it returns when that is not
// running any more, or when ctx ends, which is no error then. Errors are *Error: KindNotFound for what was never called so, was closed,
// or was given up.
func (b *Bus) Reply(ctx context.Context, id string, wait bool) (Sent, error) {
	n, err := parseID(id)
	if err != nil {
		return Sent{}, err
	}
	for {
		type found struct {
			sent Sent
			over chan struct{}
		}
		f, err := ask(context.WithoutCancel(ctx), b, func(o *orchester) (found, error) {
			k := o.replies.by[n]
			if k == nil {
				return found{}, &Error{KindNotFound, fmt.Sprintf("cannot find a reply for %s: never called so, closed, or given up after %v or for room", id, replyAge)}
			}
			f := found{sent: k.sent()}
			if k.state == "running" && wait {
				f.over = make(chan struct{})
				k.fetching = append(slices.DeleteFunc(k.fetching, gone), f.over)
			}
			return f, nil
		})
		if err != nil || f.over == nil {
			return f.sent, err
		}
		select {
		case <-f.over:
		case <-b.done:
			return Sent{}, errClosed
		case <-ctx.Done():
			b.mail.post(func(*orchester) { closeOnce(f.over) })
			return f.sent, nil
		}
	}
}

// gone reports whether nobody listens to a channel any more; only the loop closes it.
func gone(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func closeOnce(c chan struct{}) {
	if !gone(c) {
		close(c)
	}
}

// CloseReply forgets a reply, or, while it is awaited, that anybody wants it: the task goes on. Doing it twice is no error.
func (b *Bus) CloseReply(ctx context.Context, id string) error {
	n, err := parseID(id)
	if err != nil {
		return err
	}
	_, err = ask(ctx, b, func(o *orchester) (struct{}, error) {
		if k := o.replies.by[n]; k != nil {
			if k.state == "running" {
				k.call.lasting = true
				o.withdraw(k.call, cancelled, "")
				o.timing.remove(k.call)
				k.call.over = true
			}
			o.dropReply(k)
		}
		return struct{}{}, nil
	})
	return err
}

func (k *keptReply) sent() Sent {
	return Sent{Task: formatID(k.id), State: k.state, Reason: k.reason, Results: k.results, Omitted: k.omitted}
}

// admitted makes room for the reply of a call that has just got its task.
func (k *keptReply) admitted(o *orchester, id uint64) {
	k.id = id
	if o.replies.by == nil {
		o.replies.by = map[uint64]*keptReply{}
	}
	o.replies.by[id] = k
}

// promised is what follows the admission: the reply is on its way to disk with the first hop, and the caller is told when both are there.
func (k *keptReply) promised(o *orchester) {
	if k.state == "running" {
		k.at = o.now
		k.write(o)
	}
	sent := k.call.sent
	o.t.after(func() { k.accepted(sent, nil) })
}

// noRoom is why another reply cannot be kept; nil: there is room.
func (o *orchester) noRoom() error {
	r := &o.replies
	for len(r.by) >= replyCount && len(r.ended) > 0 {
		o.giveUp()
	}
	if len(r.by) >= replyCount {
		return &Error{KindUnavailable, fmt.Sprintf("cannot keep more replies: %d are awaited; wait, or close some", replyCount)}
	}
	return nil
}

// giveUp gives up the reply that was kept for longest.
func (o *orchester) giveUp() {
	r := &o.replies
	k := r.ended[0]
	r.ended[0] = nil
	if r.ended = r.ended[1:]; r.by[k.id] == k {
		r.given++
		o.dropReply(k)
	}
}

// dropReply forgets one.
func (o *orchester) dropReply(k *keptReply) {
	r := &o.replies
	delete(r.by, k.id)
	r.bytes -= k.bytes
	for _, c := range k.fetching {
		closeOnce(c)
	}
	k.fetching = nil
	if o.t.scroll != nil {
		o.t.scroll.kept(k)
	}
	if len(r.ended) > 2*len(r.by)+64 {
		r.ended = slices.DeleteFunc(r.ended, func(x *keptReply) bool { return r.by[x.id] != x })
	}
}

// result is an output of a last step.
func (k *keptReply) result(o *orchester, out *wire.Output) {
	r := &o.replies
	if r.by[k.id] != k || k.bytes+len(out.Payload) > resultBytes {
		k.omitted++
		return
	}
	k.results = append(k.results, o.resultOf(out))
	k.bytes += len(out.Payload)
	r.bytes += len(out.Payload)
	for r.bytes > replyBytes && len(r.ended) > 0 {
		o.giveUp()
	}
	if k.more(o) {
		k.write(o)
	}
}

// answer is the end, or that it was not admitted.
func (k *keptReply) answer(o *orchester, sent Sent, err error) {
	if k.id == 0 {
		if err == nil {
			err = &Error{KindTimeout, fmt.Sprintf("cannot call %s: %s", k.step, sent.Reason)}
		}
		k.accepted(Sent{}, err)
		return
	}
	k.state, k.reason, k.at = sent.State, sent.Reason, o.now
	if err != nil {
		k.state, k.reason = stateLost, err.Error()
	}
	if o.replies.by[k.id] == k {
		k.write(o)
	}
	if o.replies.by[k.id] == k {
		o.replies.ended = append(o.replies.ended, k)
	}
	for _, c := range k.fetching {
		closeOnce(c)
	}
	k.fetching = nil
}

// expireReplies gives up what was kept for long enough, and returns when it wants to be called again; 0: not.
func (o *orchester) expireReplies() int64 {
	r := &o.replies
	for len(r.ended) > 0 {
		if due := r.ended[0].at + int64(replyAge); due > o.now {
			return due
		}
		o.giveUp()
	}
	return 0
}

// keptAnswer is a reply in an export.
type keptAnswer struct {
	ID                  uint64
	Step, State, Reason string
	Results             []Result
	Omitted             int
	Age                 int64 // ns since its end
	Left                int64 // ns until its deadline; 0: it has none
}

// keepReplies copies all for the next daemon.
func (o *orchester) keepReplies() []keptAnswer {
	var all []keptAnswer
	for _, k := range o.replies.by {
		if k.promise.onDisk {
			continue // the journal has it
		}
		a := keptAnswer{ID: k.id, Step: k.step, State: k.state, Reason: k.reason, Results: k.results, Omitted: k.omitted, Age: o.now - k.at}
		if k.state == "running" && k.call.due > 0 {
			a.Left = max(k.call.due-o.now, 1)
		}
		all = append(all, a)
	}
	return all
}

// goOn is the last of what a daemon takes over from earlier ones: replies, and tasks without hops end. tasks are the slots of those
// that are there.
func (o *orchester) goOn(tasks map[uint64]int32) {
	o.awaitClaims()
	slices.SortFunc(o.replies.old, func(a, b replyWall) int { return cmp.Compare(b.Age, a.Age) }) // the oldest end first
	for i := range o.replies.old {
		if w := &o.replies.old[i]; o.replies.by[w.ID] == nil {
			o.takeOver(w, tasks)
		}
	}
	o.replies.old = nil
	o.t.closeTasks(tasks)
}

func (o *orchester) takeOver(w *replyWall, tasks map[uint64]int32) {
	k := &keptReply{step: w.Step, state: w.State, reason: w.Reason, results: w.Results, omitted: w.Omitted, at: o.now - w.Age, promise: w.promise}
	for _, r := range w.Results {
		k.bytes += len(r.Payload)
	}
	o.replies.bytes += k.bytes
	k.admitted(o, w.ID)
	if k.promise.onDisk {
		o.t.scroll.hold(k)
	}
	if w.State != "running" {
		o.replies.ended = append(o.replies.ended, k)
		return
	}
	slot, open := tasks[w.ID]
	if !open {
		k.answer(o, Sent{State: stateLost, Reason: "what was left of its task did not survive the end of dsatd"}, nil)
		return
	}
	o.waiter++
	k.call = &sending{to: o.byName[w.Step], wait: true, lasting: true, by: k, waiter: o.waiter, task: slot, sent: Sent{Task: formatID(w.ID), State: "accepted"}}
	if w.Left > 0 {
		k.call.due, k.call.lasting = o.now+w.Left, false
		o.timing.add(k.call)
	}
	o.waiters[o.waiter] = k.call
	o.t.tasks.at(slot).waiter = o.waiter
}
