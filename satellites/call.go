package satellites

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// Errors of Call. One that carries what a step said is a *CallError.
var (
	// ErrNoCalls: dsatd is older than calls, or the topology lets this satellite call nobody.
	ErrNoCalls = errors.New("cannot call: the topology's `calls` names no step for this satellite")
	// ErrLost: dsatd went away. Whether the call was done is not known.
	ErrLost = errors.New("cannot tell what became of the call: the session with dsatd is over")
)

// CallState is how a call ended.
type CallState string

// The closed set of CallState of a CallError.
const (
	CallFailed  CallState = "failed"  // a message of its task was not done
	CallExpired CallState = "expired" // its deadline came first; nothing of it is begun any more
	CallLost    CallState = "lost"    // the instance that its session was with is gone: what it knew is, too
	CallRefused CallState = "refused" // nothing was sent
)

// CallError is the end of a call that is not done.
type CallError struct {
	Step   string
	State  CallState
	Reason string
	Task   uint64 // 0: none was begun
}

func (e *CallError) Error() string {
	return fmt.Sprintf("the call of %s is %s: %s", e.Step, e.State, e.Reason)
}

// Reply is the answer to a call.
type Reply struct {
	Task    uint64
	Outputs []Result // of the last steps, in the order in which they were done
}

// Result is one output.
type Result struct {
	Payload []byte
	Codec   string // raw, text, json, cbor, struct
}

// Payload is the first output, or nil.
func (r *Reply) Payload() []byte {
	if len(r.Outputs) == 0 {
		return nil
	}
	return r.Outputs[0].Payload
}

// CallOption changes how one call works.
type CallOption func(*callSettings)

type callSettings struct {
	within   time.Duration
	lasting  bool
	session  uint64
	codec    wire.Codec
	codecSet bool
	each     func(Result) error
	err      error
}

// Within is the deadline of a call (default: that of its context, else 30 s by dsatd). Work that has expired is not begun.
func Within(d time.Duration) CallOption {
	return func(s *callSettings) {
		if s.within = d; d <= 0 {
			s.err = fmt.Errorf("cannot call with a deadline of %v", d)
		}
	}
}

// Lasting lets the task go on when nobody waits for it any more: after the deadline, the end of the context or of the process.
func Lasting() CallOption { return func(s *callSettings) { s.lasting = true } }

// InSession makes the call a part of session n of this process with the step: all its messages go to the same instance, one after the
// other, which sees a name made of it in Message.Session. When the instance ends, so does the session: CallLost. It may then begin anew.
func InSession(n uint64) CallOption {
	return func(s *callSettings) {
		if s.session = n; n == 0 {
			s.err = errors.New("cannot call in session 0: sessions are numbered from 1")
		}
	}
}

// CallCodec says how the payload is written (default: as Emit).
func CallCodec(name string) CallOption {
	return func(s *callSettings) {
		c, err := wire.ParseCodec(name)
		s.codec, s.codecSet, s.err = c, true, errors.Join(s.err, err)
	}
}

// Each has f called with every output as it comes; then they are not in the Reply. An error of f ends the call and is returned.
func Each(f func(Result) error) CallOption { return func(s *callSettings) { s.each = f } }

// Call sends payload to a step that the topology's `calls` names, and waits for the end of its task: what the last steps put out, or a
// *CallError. ctx is that of the handler, or one made of it: when it ends, the call is forgotten and its error returned. Several
// goroutines may call at once; more calls than dsatd takes wait for their turn.
func (o *Output) Call(ctx context.Context, step string, payload []byte, opts ...CallOption) (*Reply, error) {
	return o.session.call(ctx, o.n, o.codec, step, payload, opts)
}

// Call is as that of Output.
func (e *Emitter) Call(ctx context.Context, step string, payload []byte, opts ...CallOption) (*Reply, error) {
	e.mu.Lock()
	ses := e.session
	e.mu.Unlock()
	return ses.call(ctx, 0, e.codec, step, payload, opts)
}

// calls is what a session has called and not heard the end of.
type calls struct {
	mu       sync.Mutex
	changed  sync.Cond // fewer are open, or it is over
	steps    []string  // by port
	messages int       // windows
	bytes    int
	within   time.Duration // dsatd's deadline

	last  uint64
	open  map[uint64]*call
	used  int // bytes of open ones
	ended bool
}

type call struct {
	step  string
	size  int
	each  func(Result) error
	reply Reply
	err   error
	due   time.Time     // of the deadline
	over  chan struct{} // closed at the end

	mu   sync.Mutex
	more []Result // for each
	news chan struct{}
}

func (c *calls) welcome(w *wire.WelcomeBody) {
	c.changed.L = &c.mu
	c.steps, c.messages, c.bytes, c.within = w.Calls, w.CallMessages, w.CallBytes, time.Duration(w.CallMS)*time.Millisecond
	c.open = map[uint64]*call{}
}

func (c *calls) route(steps []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = steps
}

// port of a step. Whoever calls holds mu.
func (c *calls) port(step string) (uint16, error) {
	if i := slices.Index(c.steps, step); i >= 0 && step != "" {
		return uint16(i), nil
	}
	names := slices.DeleteFunc(slices.Clone(c.steps), func(s string) bool { return s == "" })
	if len(names) == 0 {
		return 0, Permanent(ErrNoCalls)
	}
	return 0, Permanent(fmt.Errorf("cannot call %q: the topology's `calls` names %s", step, strings.Join(names, ", ")))
}

func (ses *session) call(ctx context.Context, hop uint64, codec wire.Codec, step string, payload []byte, opts []CallOption) (*Reply, error) {
	set := callSettings{codec: codec}
	for _, o := range opts {
		o(&set)
	}
	if set.err != nil {
		return nil, set.err
	}
	if len(payload) > ses.maxBody {
		return nil, tooLarge(len(payload), ses.maxBody)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if left := max(time.Until(deadline), 1); set.within == 0 || left < set.within {
			set.within = left
		}
	}
	c := &call{step: step, size: len(payload), each: set.each, over: make(chan struct{}), news: make(chan struct{}, 1)}
	n, err := ses.begin(ctx, c, hop, payload, &set)
	if err != nil {
		return nil, err
	}
	return ses.await(ctx, n, c)
}

// grace is how long after a deadline dsatd has to say so.
const grace = 2 * time.Second

// begin waits for room in the window and sends the CALL.
func (ses *session) begin(ctx context.Context, c *call, hop uint64, payload []byte, set *callSettings) (uint64, error) {
	all := &ses.calls
	stop := context.AfterFunc(ctx, func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		all.changed.Broadcast()
	})
	defer stop()
	begun := time.Now()
	all.mu.Lock()
	defer all.mu.Unlock()
	for {
		port, err := all.port(c.step)
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case all.ended || ses.out.parted():
			return 0, ErrLost
		case err != nil:
			return 0, err
		case len(all.open) > 0 && (len(all.open) >= all.messages || all.used+c.size > all.bytes):
			all.changed.Wait()
			continue
		}
		within := set.within
		if within == 0 {
			within = all.within
		}
		c.due = begun.Add(within)
		h := wire.Header{Kind: wire.Call, N: all.last + 1, M: hop, Port: port, Codec: set.codec, ID: set.session, Time: int64(max(within-time.Since(begun), 1))}
		if set.lasting {
			h.Flags = wire.FlagLasting
		}
		all.last++
		all.open[all.last] = c
		all.used += c.size
		ses.out.say(h, payload)
		return all.last, nil
	}
}

// await returns the end of a call.
func (ses *session) await(ctx context.Context, n uint64, c *call) (*Reply, error) {
	give := func() error {
		c.mu.Lock()
		more := c.more
		c.more = nil
		c.mu.Unlock()
		for _, r := range more {
			if err := c.each(r); err != nil {
				return err
			}
		}
		return nil
	}
	late := time.NewTimer(time.Until(c.due) + grace)
	defer late.Stop()
	for {
		select {
		case <-late.C:
			ses.forget(n)
			return nil, &CallError{Step: c.step, State: CallExpired, Reason: "dsatd does not answer"}
		case <-c.news:
			if err := give(); err != nil {
				ses.forget(n)
				return nil, err
			}
		case <-c.over:
			if c.each != nil {
				if err := give(); err != nil {
					return nil, err
				}
			}
			if c.err != nil {
				return nil, c.err
			}
			return &c.reply, nil
		case <-ctx.Done():
			ses.forget(n)
			return nil, ctx.Err()
		}
	}
}

// forget tells dsatd that nobody waits for a call.
func (ses *session) forget(n uint64) {
	all := &ses.calls
	all.mu.Lock()
	defer all.mu.Unlock()
	if c := all.open[n]; c != nil && !all.ended {
		all.end(n, c)
		ses.out.say(wire.Header{Kind: wire.Cancel, N: n}, nil)
	}
}

// end takes a call out. Whoever calls holds mu.
func (c *calls) end(n uint64, x *call) {
	delete(c.open, n)
	c.used -= x.size
	c.changed.Broadcast()
}

// replied takes one REPLY.
func (c *calls) replied(rec *wire.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.open[rec.N]
	if x == nil { // it was given up
		return
	}
	if rec.Flags&wire.FlagMore != 0 {
		r := Result{Payload: slices.Clone(rec.Body), Codec: rec.Codec.String()}
		if x.each == nil {
			x.reply.Outputs = append(x.reply.Outputs, r)
			return
		}
		x.mu.Lock()
		x.more = append(x.more, r)
		x.mu.Unlock()
		select {
		case x.news <- struct{}{}:
		default:
		}
		return
	}
	x.reply.Task = rec.ID
	if state, known := map[uint64]CallState{wire.EndExpired: CallExpired, wire.EndLost: CallLost, wire.EndRefused: CallRefused}[rec.M]; known {
		x.err = &CallError{Step: x.step, State: state, Reason: string(rec.Body), Task: rec.ID}
	} else if rec.M != wire.EndDone {
		x.err = &CallError{Step: x.step, State: CallFailed, Reason: string(rec.Body), Task: rec.ID}
	}
	c.end(rec.N, x)
	close(x.over)
}

// lost ends all calls: the session is over.
func (c *calls) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for n, x := range c.open {
		x.err = ErrLost
		c.end(n, x)
		close(x.over)
	}
	c.changed.Broadcast()
}
