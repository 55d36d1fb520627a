package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// Bus is what the supervisor tells whoever carries the messages, and asks. No method but Drain and Ping may block.
type Bus interface {
	// Admit comes before the fork, and is followed by exactly one Gone, after an error too. The process will be of this user and
	// group. It returns environment ("KEY=VALUE") by which the process finds the bus.
	Admit(ref topology.Ref, inc topology.Incarnation, uid, gid int) (env []string, err error)
	// Spawned comes after the fork. in and out are our ends of a filter's stdin and stdout, not blocking, and belong to the
	// receiver; nil for anything else.
	Spawned(ref topology.Ref, inc topology.Incarnation, pid int, in, out *os.File)
	// Handshake is the first line a plugin wrote to its stdout.
	Handshake(ref topology.Ref, inc topology.Incarnation, line string)
	// Gone comes after the process was reaped, or could not be spawned. last is its last lines of output.
	Gone(ref topology.Ref, inc topology.Incarnation, cause string, last []string)
	// Drain comes before the stop signal: no new work, and wait until what it has in hand is acknowledged.
	Drain(ctx context.Context, ref topology.Ref, inc topology.Incarnation) error
	// Ping returns nil when the session of the process answers before the context ends. It may wait so long.
	Ping(ctx context.Context, ref topology.Ref, inc topology.Incarnation) error
	// Progress is how many messages it has in hand, since when it has the oldest of them, and since when it answered none.
	Progress(ref topology.Ref) (inHand int, oldest, sinceLastDone time.Duration)
}

// Config is what a Supervisor needs.
type Config struct {
	Topology *topology.Topology
	RunDir   string // exists; holds the record of processes
	StateDir string // log files go to log/ in it, unless the topology names a directory; "" keeps output in memory only
	Epoch    uint32 // of this run of the daemon
	Log      *slog.Logger
	Bus      Bus                        // may be nil
	Self     string                     // executed for built-in plugins
	Event    func(Event)                // told of every change of state; must not block; may be nil
	Exit     func(code int, why string) // the topology wants the daemon to end; must not block; may be nil

	Handover  []byte         // what Handover gave to the dsatd that was executed before, in this process; nil: there was none
	Inherited map[string]int // the descriptors it left open, by the keys of Handover; those that are used are taken out
}

// Supervisor keeps every instance of every satellite in its wanted state.
type Supervisor struct {
	present   atomic.Pointer[roster]
	runDir    string
	epoch     uint32
	log       *slog.Logger
	bus       Bus
	self      string
	event     func(Event)
	exit      func(code int, why string)
	inherited []string
	stdbuf    string
	null      int // /dev/null
	depth     int // of output pipes

	order   *order
	boot    bootlog
	groups  *groups
	reaper  *reaper
	output  *output
	sweeper *sweeper
	logs    *logs.Library
	graves  *graveyard
	record  *record
	shapes  shapes
	cgroups *cgroups
	hunger  *hunger
	left    []recordEntry // what an earlier daemon left, but for
	adopted map[topology.Ref]*life
	estate  estate
	forks   *spawnQueue

	forkExec func(path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) // the kernel's; tests let it fail
	crew     *crew

	questions questions
	eyes      *eyes
	floor     atomic.Uint32 // of the spawns of new instances: above those of satellites that are gone
	turns     turnstile
	errands   errands
	table     *timetable
	sockets   *sockets
	store     *store
	ears      ears

	sealed  atomic.Bool // the end has come: nothing is forked for an instance any more
	hurry   func()      // ends the patience with what an earlier daemon left
	hurried <-chan struct{}
	stop    func() // of Run
	stopped <-chan struct{}
	stage   atomic.Int32
	over    chan struct{} // Run has returned
	once    sync.Once
}

// The stages of a Supervisor.
const (
	fresh int32 = iota
	running
	closed // without ever running
)

// New builds a supervisor. Nothing runs before Run. The process becomes a subreaper, and descriptors it has inherited are closed in
// children; only one Supervisor may live in a process at a time.
func New(c Config) (*Supervisor, error) {
	s := &Supervisor{
		runDir: c.RunDir, epoch: c.Epoch, log: c.Log, bus: c.Bus, self: c.Self, event: c.Event, exit: c.Exit,
		inherited: inherited(), order: newOrder(c.Topology),
		crew: &crew{}, forks: newSpawnQueue(), forkExec: syscall.ForkExec, over: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	graves, files := "", ""
	if c.StateDir != "" {
		files = cmp.Or(c.Topology.Daemon.Log.Dir, filepath.Join(c.StateDir, "log"))
		graves = filepath.Join(c.StateDir, "deaths")
	}
	if path, err := lookPath("stdbuf", s.inherited); err == nil {
		s.stdbuf = path
	}
	s.stop, s.stopped = gate()
	s.hurry, s.hurried = gate()
	s.hunger = newHunger()
	s.cgroups = openCgroups(c.Topology.Daemon.Cgroup, c.Topology.Name, c.RunDir, s.log)
	if err := s.open(); err != nil {
		return nil, err
	}
	s.canary()
	s.logs = logs.New(s.log, files, c.Topology.Daemon.Log.Total)
	s.graves = newGraveyard(graves, s.log)
	s.sweeper = newSweeper(s.runDir, s.log, s.swept)
	s.reaper = newReaper(s.sweeper.nudge)
	s.sweeper.reaper = s.reaper
	s.groups = s.newGroups()
	s.sockets = newSockets(s.runDir, s.log)
	s.store = newStore(s.log, s.output, s.storeLimit)
	s.ears.all = make(map[*instance][]ear)
	first, pipes := newRoster(c.Topology), 0
	for _, t := range c.Topology.Satellites {
		first.add(s.newSatellite(t))
		pipes += 2 * t.Instances
	}
	s.present.Store(first)
	s.eyes = newEyes(s)
	s.table = newTimetable(s, c.StateDir)
	s.depth = depthFor(pipes)
	s.store.inherit(c.Inherited)
	if err := s.sockets.begin(c.Topology, c.Inherited, s.left); err != nil {
		s.release()
		return nil, err
	}
	maps.DeleteFunc(c.Inherited, func(key string, _ int) bool {
		return strings.HasPrefix(key, "socket.") || strings.HasPrefix(key, "store.") // taken, or closed
	})
	if err := s.inherit(c.Handover, c.Inherited); err != nil {
		s.log.Error("what the dsatd before handed over cannot be used; its processes are taken back as after a kill: " + err.Error())
	}
	s.recall()
	s.adopt()
	return s, nil
}

// gate is a channel and the function that closes it, which may be called often.
func gate() (func(), <-chan struct{}) {
	c := make(chan struct{})
	return sync.OnceFunc(func() { close(c) }), c
}

// open is what can fail of New.
func (s *Supervisor) open() (err error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become the parent of orphans: %w", err)
	}
	// What whoever started us left open must not reach the children. Old kernels do not know the call; then it does.
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	if s.null, err = unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("cannot open %s: %w", os.DevNull, err)
	}
	if s.output, err = newOutput(); err != nil {
		unix.Close(s.null)
		return err
	}
	s.record, s.left, err = openRecord(filepath.Join(s.runDir, "record"), s.log)
	if err != nil {
		s.output.end()
		unix.Close(s.null)
	}
	return err
}

// instance makes one slot, or finds the one that had the number before: incarnations go on counting.
func (s *Supervisor) instance(sat *satellite, wid int) *instance {
	if i := sat.all[wid]; i != nil {
		i.post(event{kind: evSpec, spec: sat.spec}) // it may have changed since
		return i
	}
	t, ref := sat.spec, topology.Ref{Name: sat.spec.Name, WID: wid}
	i := newInstance(ref, t, s)
	i.spawns = s.floor.Load()
	i.book = s.logs.Book(ref, &t.Log)
	sat.all[wid] = i
	return i
}

// Run runs the loops. It first ends what an earlier daemon left alive. It returns after Close; when the context ends it kills
// everything, as Close does.
func (s *Supervisor) Run(ctx context.Context) error {
	if !s.stage.CompareAndSwap(fresh, running) {
		return errClosed // or it runs already
	}
	defer close(s.over)
	s.resume()
	s.eyes.follow(s.roster().topology)
	looping, end := context.WithCancel(context.Background())
	defer end()
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context){s.reaper.run, s.output.run, s.sweeper.run, s.table.run} {
		loops.Go(func() { loop(looping) })
	}
	writing, written := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() { s.logs.Run(writing) })
	writer.Go(func() { s.graves.run(writing) })
	writer.Go(func() { s.table.sheet.run(writing) })
	loops.Go(func() {
		s.clean(s.left)
		s.tidy()
		s.forgetStrays()
		s.forks.begin()
		var forks sync.WaitGroup
		for range spawners {
			forks.Go(func() { s.forks.run(looping) })
		}
		forks.Wait()
	})
	select {
	case <-ctx.Done():
		s.KillAll()
		s.stop()
	case <-s.stopped:
	}
	end()
	loops.Wait()
	s.crew.close()
	s.release()
	written()
	writer.Wait()
	return ctx.Err()
}

// release lets go of all descriptors.
func (s *Supervisor) release() {
	s.eyes.close()
	s.ears.end(s.output)
	s.store.end()
	s.sockets.end()
	s.output.end()
	for _, l := range s.adopted {
		if l.survivor != nil {
			l.survivor.letGo()
		}
	}
	for _, h := range s.reaper.heirs() {
		h.letGo()
	}
	s.record.close()
	s.cgroups.end()
	unix.Close(s.null)
}

// Close ends the loops; what still lives is killed first. Run returns after it.
func (s *Supervisor) Close() {
	s.once.Do(func() {
		if s.stage.CompareAndSwap(fresh, closed) {
			s.stop()
			s.crew.close()
			s.release()
			return
		}
		s.KillAll()
		s.stop()
		<-s.over
	})
}

// Alive reports whether every loop answers.
func (s *Supervisor) Alive(ctx context.Context) error {
	if err := s.reaper.alive(ctx); err != nil {
		return errors.New("the loop that waits for children does not answer")
	}
	if err := s.output.alive(ctx); err != nil {
		return errors.New("the loop that reads output does not answer")
	}
	if err := ping(ctx, s.forks.sync); err != nil {
		return errors.New("the loop that spawns does not answer")
	}
	return nil
}
