package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dsat/dsat/bus/streams"
	"github.com/dsat/dsat/topology"
)

// StreamsName is the directory of the retained streams in the state directory.
const StreamsName = "streams"

// shelf is the streams that are open. The loop appends to them; one goroutine lets go of what is old; readers read beside both.
type shelf struct {
	bus  *Bus
	wake chan struct{} // capacity 1

	preparing sync.Mutex // held over the disk, which mu, that the loop takes, never is

	mu   sync.Mutex
	open map[string]*streams.Stream
	read map[string]int // how many are reading
}

// recorder is a stream as the tracker uses it: it never waits.
type recorder interface {
	Append(step string, task uint64, codec, hops uint16, format string, payload []byte)
	Flush()
}

func newShelf(b *Bus) *shelf {
	return &shelf{bus: b, wake: make(chan struct{}, 1), open: map[string]*streams.Stream{}, read: map[string]int{}}
}

func (m *shelf) root() string { return filepath.Join(m.bus.cfg.StateDir, StreamsName) }

func retainOf(r topology.Retain) streams.Retain {
	return streams.Retain{Age: r.Age, Size: r.Size, Count: uint64(r.Count)}
}

// prepare opens what a topology wants kept and is not open yet, and changes the retention of the others. It may wait for the disk.
func (m *shelf) prepare(t *topology.Topology) error {
	m.preparing.Lock()
	defer m.preparing.Unlock()
	for _, sat := range t.Satellites {
		name := sat.Retain.Stream
		if name == "" || !speaks(sat) {
			continue
		}
		if m.bus.cfg.StateDir == "" {
			return fmt.Errorf("cannot keep stream %s: there is no state directory", name)
		}
		if s := m.get(name); s != nil {
			s.Keep(retainOf(sat.Retain))
			continue
		}
		s, err := streams.Open(m.root(), name, retainOf(sat.Retain), m.bus.cfg.Epoch, m.bus.cfg.Log)
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.open[name] = s
		m.mu.Unlock()
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return nil
}

func (m *shelf) get(name string) *streams.Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.open[name]
}

// readers changes the number of those who read a stream, and returns it.
func (m *shelf) readers(name string, by int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.read[name] += by; m.read[name] == 0 {
		delete(m.read, name)
		return 0
	}
	return m.read[name]
}

// all is what is open, by name.
func (m *shelf) all() []*streams.Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*streams.Stream
	for _, s := range m.open {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *streams.Stream) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// tend lets go of what is old, until the bus is closed. Without streams it sleeps for good.
func (m *shelf) tend() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		wait := time.Duration(0)
		for _, s := range m.all() {
			if d := s.Tend(ctx, time.Now()); wait == 0 || d < wait {
				wait = d
			}
		}
		if timer.Stop(); wait > 0 {
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
		case <-m.wake:
		case <-m.bus.done:
			return
		}
	}
}

// sync brings to disk what was appended.
func (m *shelf) sync(ctx context.Context) error {
	var err error
	for _, s := range m.all() {
		err = errors.Join(err, s.Sync(ctx))
	}
	return err
}

// close ends all of them; the loop has ended.
func (m *shelf) close() {
	for _, s := range m.all() {
		if err := s.Close(); err != nil {
			m.bus.cfg.Log.Error("cannot close a stream: " + err.Error())
		}
	}
}

// joinStreams gives each step the stream that keeps what it puts out.
func (o *orchester) joinStreams() {
	for _, s := range o.t.steps {
		s.recorder = nil
		if st := o.bus.shelf.get(s.sat.Retain.Stream); st != nil {
			s.recorder = st
		}
	}
}

// retain puts a message that s put out into its stream.
func (t *tracker) retain(s *step, task uint64, codec, hops uint16, payload []byte) {
	s.kepts++
	s.recorder.Append(s.name, task, uint16(onWire(codec)), hops, t.formats.text(codec), payload)
	if !slices.Contains(t.recorded, s.recorder) {
		t.recorded = append(t.recorded, s.recorder)
	}
}

// flushStreams ends the turn of the streams.
func (t *tracker) flushStreams() {
	for _, k := range t.recorded {
		k.Flush()
	}
	clear(t.recorded)
	t.recorded = t.recorded[:0]
}

// StreamStatus is one retained stream.
type StreamStatus struct {
	streams.Status
	Satellite   string  // who writes it now; "": nobody, it is of an earlier topology
	Short, Long float64 // messages a second that are put into it, over 10 s and over a minute
	Readers     int     // of it at the moment
}

// Streams lists the streams whose names match a pattern (path.Match; "" is all), by name, those of earlier topologies too.
func (b *Bus) Streams(ctx context.Context, pattern string) ([]StreamStatus, error) {
	names, err := b.streamNames(pattern)
	if err != nil {
		return nil, err
	}
	writers := map[string]string{}
	for _, sat := range b.topology.Load().Satellites {
		writers[sat.Retain.Stream] = sat.Name
	}
	rates, err := ask(ctx, b, func(o *orchester) (map[string][2]float64, error) {
		all := map[string][2]float64{}
		for _, s := range o.t.steps {
			all[s.name] = [2]float64{s.rates(o.now, paceShort).Kept, s.rates(o.now, paceLong).Kept}
		}
		return all, nil
	})
	if err != nil {
		return nil, err
	}
	list := []StreamStatus{}
	for _, name := range names {
		err := b.withStream(name, func(s *streams.Stream) error {
			writer := writers[name]
			list = append(list, StreamStatus{Status: s.Status(ctx), Satellite: writer, Short: rates[writer][0], Long: rates[writer][1], Readers: b.shelf.readers(name, 0)})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// streamNames are those that are open or on disk.
func (b *Bus) streamNames(pattern string) ([]string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, &Error{KindInvalid, fmt.Sprintf("cannot use the pattern %q: * and ? stand for any characters but /, [abc] for one of them", pattern)}
	}
	var names []string
	for _, s := range b.shelf.all() {
		names = append(names, s.Name)
	}
	dirs, err := os.ReadDir(b.shelf.root())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, d := range dirs {
		if name := streams.NameOf(d.Name()); d.IsDir() && name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(names, func(name string) bool {
		ok, _ := path.Match(pattern, name) // it was tried above
		return pattern != "" && !ok
	}), nil
}

// withStream calls f with a stream; one of an earlier topology is open meanwhile only.
func (b *Bus) withStream(name string, f func(*streams.Stream) error) error {
	if s := b.shelf.get(name); s != nil {
		return f(s)
	}
	s, err := streams.Open(b.shelf.root(), name, streams.Retain{}, b.cfg.Epoch, b.cfg.Log)
	if err != nil {
		return &Error{KindUnavailable, err.Error()}
	}
	return errors.Join(f(s), s.Close())
}

// StreamGauge is what of an open stream can be told without the disk.
type StreamGauge struct {
	Name     string
	Messages uint64
	Bytes    int64
	Lost     uint64
	Full     bool
	Last     uint64 // number of the newest on disk
}

// StreamGauges are those of the streams that are being written.
func (b *Bus) StreamGauges() []StreamGauge {
	var list []StreamGauge
	for _, s := range b.shelf.all() {
		list = append(list, StreamGauge(s.Gauge()))
	}
	return list
}
