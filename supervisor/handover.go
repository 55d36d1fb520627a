package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// What one Supervisor hands to the next when another dsatd is executed in its place. The processes themselves are found by the record, as
// after a kill; what is here is what the record does not know: what was wanted, what became of it, and the output that was read in part.

// handedVersion is of the format below. A supervisor does not read another one.
const handedVersion = 1

type handed struct {
	Version   int
	Lines     uint64 // sequence of log lines
	Instances []handedInstance
	Counts    map[string]int // instances by satellite: they may have been scaled
}

type handedInstance struct {
	Ref      string
	Want     uint8 // Want and State by number: their words are for people
	State    uint8
	Since    time.Time
	Why      string
	Inc      uint64 // of its process; 0: it has none
	Hello    bool   // it was ready once
	Spawns   uint32
	Restarts int
	Unasked  bool
	Starts   []time.Time
	Crashes  int
	LastExit string
	Success  bool
	Listens  bool      // it sleeps at its sockets
	Due      time.Time // of its next start
	Out, Err *handedStream
	Ring     []handedLine
}

// handedStream is a pipe between two readings.
type handedStream struct {
	Tail  []byte // an unfinished line
	First bool   // the handshake has not come
	Match bool   // the line that tells readiness has not come
}

type handedLine struct {
	Seq  uint64
	NS   int64 // since 1970
	Err  bool  `json:",omitempty"`
	Text []byte
}

// Handover is all that the next dsatd, executed in this process, needs: a text, and descriptors by name: out.NAME:WID and err.NAME:WID,
// our ends of output pipes, notify.NAME:WID, its NOTIFY_SOCKET, and the sockets and stored descriptors. It is for a frozen Supervisor; the descriptors stay its own and close with an exec unless the caller
// sees to it.
func (s *Supervisor) Handover() (text []byte, fds map[string]int, err error) {
	if err := s.record.whole(); err != nil {
		return nil, nil, err
	}
	h := handed{Version: handedVersion, Lines: s.logs.Seq(), Counts: make(map[string]int)}
	fds = s.held()
	for _, sat := range s.roster().satellites {
		list := sat.instances()
		h.Counts[sat.spec.Name] = len(list)
		for _, i := range list {
			h.Instances = append(h.Instances, i.hand(fds))
		}
	}
	text, err = json.Marshal(h)
	return text, fds, err
}

// hand tells an instance whose owner does not run.
func (i *instance) hand(fds map[string]int) handedInstance {
	i.mu.Lock()
	defer i.mu.Unlock()
	h := handedInstance{
		Ref: i.ref.String(), Want: uint8(i.want), State: uint8(i.state), Since: i.since, Why: i.why, Spawns: i.spawns, Restarts: i.restarts,
		Unasked: i.unasked, Starts: i.hist.starts, Crashes: i.hist.crashes, LastExit: i.lastExit, Success: i.success, Listens: i.drowse.on != "", Due: i.due,
	}
	for _, l := range i.book.Newest(math.MaxInt, 0) {
		h.Ring = append(h.Ring, handedLine{l.Seq, l.Time.UnixNano(), l.Stream == logs.Stderr, []byte(l.Text)})
	}
	l := i.life
	if l == nil || !l.spawned || l.exited {
		return h
	}
	h.Inc, h.Hello = uint64(l.inc), l.hello || i.state == Running
	if fd := l.inlet.descriptor(); fd >= 0 {
		fds[inletKey(i.ref)] = fd
	}
	for _, c := range l.pipes {
		if c.book == nil {
			continue // that of ready.fd: the process has it
		}
		stream := &handedStream{}
		c.mu.Lock()
		stream.Tail, stream.First, stream.Match = c.tail, c.first != nil, c.match != nil
		open := !c.shut
		c.mu.Unlock()
		if !open {
			continue
		}
		fds[pipeKey(i.ref, c.stream)] = c.fd
		if c.stream == logs.Stderr {
			h.Err = stream
		} else {
			h.Out = stream
		}
	}
	return h
}

func pipeKey(ref topology.Ref, s logs.Stream) string {
	if s == logs.Stderr {
		return "err." + ref.String()
	}
	return "out." + ref.String()
}

// estate is what was handed over to this Supervisor.
type estate struct {
	given bool
	byRef map[topology.Ref]*handedInstance
	fds   map[string]int
}

// inherit takes the estate over. It changes nothing when there is none, or none that can be read.
func (s *Supervisor) inherit(text []byte, fds map[string]int) error {
	if text == nil {
		return nil
	}
	var h handed
	if err := json.Unmarshal(text, &h); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	if h.Version != handedVersion {
		return fmt.Errorf("it is of version %d, and this dsatd reads %d", h.Version, handedVersion)
	}
	e := estate{given: true, byRef: make(map[topology.Ref]*handedInstance), fds: fds}
	for n := range h.Instances {
		ref, err := topology.ParseRef(h.Instances[n].Ref)
		if err != nil {
			return fmt.Errorf("it names %q: %w", h.Instances[n].Ref, err)
		}
		e.byRef[ref] = &h.Instances[n]
	}
	s.estate = e
	s.logs.Resume(h.Lines)
	for _, sat := range s.roster().satellites {
		if n, ok := h.Counts[sat.spec.Name]; ok && n >= 0 && n <= maxHanded {
			s.recount(sat, n)
		}
	}
	for _, i := range s.everyone() {
		if h := e.byRef[i.ref]; h != nil {
			h.give(i)
		}
	}
	return nil
}

// maxHanded is as many instances as a topology may ask for.
const maxHanded = 10_000

// recount makes it as many instances as there were.
func (s *Supervisor) recount(sat *satellite, n int) {
	list := sat.instances()
	list = list[:min(n, len(list)):min(n, len(list))]
	for wid := len(list); wid < n; wid++ {
		list = append(list, s.instance(sat, wid))
	}
	sat.list.Store(&list)
}

// give makes an instance what it was; one that had a process, or was about to have one, is on its way to it again.
func (h *handedInstance) give(i *instance) {
	i.want, i.spawns, i.restarts, i.unasked = Want(h.Want), h.Spawns, h.Restarts, h.Unasked
	i.hist = history{starts: anchored(h.Starts, i.world.now()), crashes: h.Crashes}
	i.lastExit, i.success = h.LastExit, h.Success
	lines := make([]logs.Line, 0, len(h.Ring))
	for _, l := range h.Ring {
		stream := logs.Stdout
		if l.Err {
			stream = logs.Stderr
		}
		lines = append(lines, logs.Line{Seq: l.Seq, Time: time.Unix(0, l.NS), Stream: stream, Text: string(l.Text)})
	}
	i.book.Restore(lines)
	switch state := State(h.State); state {
	case Exited:
		if h.Listens { // it lies down again
			i.why = h.Why
			break
		}
		fallthrough
	case Stopped, Fatal, Backoff:
		i.state, i.since, i.why = state, h.Since, h.Why
	default:
		i.why = "is started by the dsatd that took over"
	}
	i.publish()
}

// anchored gives times of the wall that were written down the same distance to now in monotonic time, so that a clock which is set later
// moves none of them.
func anchored(times []time.Time, now time.Time) []time.Time {
	out := make([]time.Time, 0, len(times))
	for _, t := range times {
		out = append(out, now.Add(min(t.Sub(now), 0)))
	}
	return out
}

// has tells whether a life was handed over: then it needs no other proof that it is as it should be.
func (e *estate) has(r recordEntry) bool {
	h := e.byRef[r.ref]
	return h != nil && h.Inc == uint64(r.inc)
}

// endow gives a process that was taken back what was known of it.
func (e *estate) endow(s *Supervisor, l *life, r recordEntry) {
	h := e.byRef[r.ref]
	if h == nil || h.Inc != uint64(r.inc) {
		return
	}
	l.of.want = Want(h.Want)
	l.of.why = "is taken over"
	if l.hello = l.hello || h.Hello; l.hello && State(h.State) == Running {
		l.since = h.Since
	}
	for _, c := range l.pipes {
		from := h.Out
		if c.stream == logs.Stderr {
			from = h.Err
		}
		if from == nil {
			continue
		}
		c.tail = from.Tail
		if !from.First {
			c.first = nil
		}
		if !from.Match {
			c.match = nil
		}
	}
	// Another version may have another word for the same entry.
	r.spec = s.specOf(l.of.spec)
	s.record.put(r)
}

var errNotHanded = errors.New("was not handed over")

// take gives a descriptor away, once.
func (e *estate) take(key string) (int, error) {
	fd, ok := e.fds[key]
	if !ok {
		return -1, errNotHanded
	}
	delete(e.fds, key)
	return fd, nil
}

func (e *estate) pipe(ref topology.Ref, s logs.Stream) (int, error) { return e.take(pipeKey(ref, s)) }

// filter is our ends of a filter's stdin and stdout; nil for anything else.
func (e *estate) filter(i *instance) (in, out *os.File) {
	if !i.spec.Speaks.Filter() {
		return nil, nil
	}
	for _, end := range []struct {
		key  string
		file **os.File
	}{{"in." + i.ref.String(), &in}, {pipeKey(i.ref, logs.Stdout), &out}} {
		if fd, err := e.take(end.key); err == nil && unix.SetNonblock(fd, true) == nil {
			*end.file = os.NewFile(uintptr(fd), end.key)
		}
	}
	return in, out
}

// resume sets the timers of those that wait for their next start.
func (e *estate) resume(s *Supervisor) {
	for _, i := range s.everyone() {
		if h := e.byRef[i.ref]; h != nil && !h.Due.IsZero() && (i.state == Backoff || i.state == Fatal) {
			i.arm(max(time.Until(h.Due), 0))
			i.publish()
		}
	}
}

// starts are those that are on their way to a process, and those that have one: they are waited for. What was stopped by hand, has
// ended, or waits for its next start is left as it is.
func (e *estate) starts(s *Supervisor) []*instance {
	var all []*instance
	for _, i := range s.everyone() {
		h := e.byRef[i.ref]
		if h == nil {
			if sat := s.roster().byName[i.ref.Name]; sat.spec.Autostart {
				all = append(all, i)
			}
			continue
		}
		if state := State(h.State); h.Listens || Want(h.Want) == Up && (state == Starting || state == Running) {
			all = append(all, i)
		}
	}
	return all
}
