package satellites

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// worker runs handlers over what comes in. Its goroutines live as long as the process, over sessions: a handler that is
// still busy with a message of a lost session keeps its place, so that never more than Concurrency run.
type worker struct {
	handle    Handler
	beforeAck func() error
	codec     wire.Codec
	codecSet  bool
	in        *inbox
	slots     []slot
	end       context.CancelFunc
	running   sync.WaitGroup
}

// result is how one message ended; the outputs are those from from to to of the handler's Output.
type result struct {
	session  *session
	n, index uint64
	from, to int
	err      error
	ignored  bool // cancelled before it began: the answer would be ignored
}

func newWorker(h Handler, set settings) *worker {
	ctx, end := context.WithCancel(context.Background())
	w := &worker{
		handle: h, beforeAck: set.beforeAck, codec: set.codec, codecSet: set.codecSet,
		in: newInbox(set.concurrency == 1), slots: make([]slot, set.concurrency), end: end,
	}
	for i := range w.slots {
		w.running.Go(func() { w.run(ctx, &w.slots[i]) })
	}
	return w
}

// stop ends the handlers that wait for work. One that is busy is not waited for: the process is about to end.
func (w *worker) stop() {
	w.end()
	w.in.close()
}

// lost ends the contexts of all hops of a session and forgets what was not begun.
func (w *worker) lost(ses *session) {
	w.in.forget()
	for i := range w.slots {
		w.slots[i].cancel(ses, func(uint64) bool { return true })
	}
}

// cancel ends the context of one hop if it is running.
func (w *worker) cancel(ses *session, n uint64) {
	for i := range w.slots {
		w.slots[i].cancel(ses, func(at uint64) bool { return at == n })
	}
}

// crew is what one handler goroutine keeps from message to message.
type crew struct {
	*worker
	slot    *slot
	out     Output
	msg     Message
	results []result // handled, and not acknowledged before beforeAck
}

func (w *worker) run(ctx context.Context, s *slot) {
	c := &crew{worker: w, slot: s, out: Output{codec: w.codec, fixed: w.codecSet}}
	var rec wire.Record
	for {
		f, index := w.in.take(&rec)
		if f == nil {
			return
		}
		if !w.in.whole {
			c.message(ctx, f, &rec, index)
			w.in.release(f, 1)
			c.settle()
			continue
		}
		for f.records.Next(&rec) {
			if rec.Kind != wire.Data {
				continue
			}
			c.message(ctx, f, &rec, index)
			index++
			if w.beforeAck == nil || len(c.results) >= wire.MaxRecords {
				c.settle()
			}
		}
		w.in.release(f, f.open)
		if len(c.results) > 0 && w.in.empty() {
			c.settle()
		}
	}
}

// message has one message handled and keeps the result.
func (c *crew) message(ctx context.Context, f *frame, rec *wire.Record, index uint64) {
	ses := f.session
	r := result{session: ses, n: rec.N, index: index}
	h := c.slot.begin(ctx, ses, rec.N)
	if ses.cancelled(rec.N) {
		r.ignored = true
	} else {
		c.msg = Message{
			Payload: rec.Body, Codec: rec.Codec.String(), ID: rec.ID, Task: rec.M, From: f.links.name(rec.Port),
			Attempt: int(rec.Flags) + 1, Hops: int(rec.Hops), Time: time.Unix(0, rec.Time),
			Session: ses.topicOf(rec.N),
		}
		c.out.link, c.out.session, c.out.n = f.links, ses, rec.N
		c.out.begin(rec.Codec)
		r.err = c.call(h)
		if r.err == nil {
			r.err = c.out.err
		}
		if r.err != nil {
			c.out.drop()
		}
	}
	c.slot.over()
	r.from, r.to = c.out.begun, len(c.out.items)
	if r.ignored {
		r.from = r.to
	}
	c.results = append(c.results, r)
}

// call runs the handler; a panic is an error, told in full in the log.
func (c *crew) call(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			fmt.Fprintf(os.Stderr, "panic in the handler: %v\n%s", p, stack)
			err = fmt.Errorf("panic in the handler: %v\n%s", p, firstFrames(string(stack)))
		}
	}()
	return c.handle(ctx, &c.msg, &c.out)
}

// firstFrames is the part of a stack that tells where the panic was.
func firstFrames(stack string) string {
	const frames = 4
	if _, after, found := strings.Cut(stack, "\npanic("); found {
		// The first two lines of what follows are panic itself.
		if _, place, found := strings.Cut(after, "\n"); found {
			_, stack, _ = strings.Cut(place, "\n")
		}
	}
	lines := strings.SplitN(stack, "\n", 2*frames+1)
	return strings.Join(lines[:min(len(lines), 2*frames)], "\n")
}

// settle acknowledges what was handled.
func (c *crew) settle() {
	var failed error
	if c.beforeAck != nil {
		failed = c.flush()
	}
	for rest := c.results; len(rest) > 0; {
		n := 1 // of the same session
		for n < len(rest) && rest[n].session == rest[0].session {
			n++
		}
		for i := range rest[:n] {
			if failed != nil && rest[i].err == nil {
				rest[i].err = failed
			}
		}
		rest[0].session.answered(rest[:n], &c.out)
		rest = rest[n:]
	}
	clear(c.results)
	c.results = c.results[:0]
	c.out.reset()
}

func (c *crew) flush() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic before the acknowledgement: %v", p)
		}
	}()
	return c.beforeAck()
}
