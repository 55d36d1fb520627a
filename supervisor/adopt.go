package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// adopt takes back what an earlier daemon has left, before anything runs: processes in the record whose satellite says so and has not
// changed since. They are Starting with a process that was spawned already; Run tells them so. The others are ended by clean.
func (s *Supervisor) adopt() {
	newest := make(map[topology.Ref]recordEntry)
	for _, e := range s.left {
		if e.inc >= newest[e.ref].inc {
			newest[e.ref] = e
		}
	}
	s.adopted = make(map[topology.Ref]*life)
	for _, i := range s.everyone() {
		e, ok := newest[i.ref]
		if _, rests := s.record.resting(i.ref); rests && !s.estate.given {
			continue // it was being stopped
		}
		if !ok || e.pid == 0 || !s.estate.has(e) && (!adoptable(i.spec) || e.spec != s.specOf(i.spec)) {
			continue
		}
		if l := s.regain(i, e); l != nil {
			s.adopted[i.ref] = l
			i.want, i.state, i.why, i.life = Up, Starting, "is taken back from an earlier dsatd", l
			s.estate.endow(s, l, e)
			i.publish()
		}
	}
	var left []recordEntry
	for _, e := range s.left {
		if l := s.adopted[e.ref]; l == nil || l.inc != e.inc {
			left = append(left, e)
		}
	}
	s.left = left
	s.lament()
	if len(s.adopted) > 0 && !s.estate.given {
		s.log.Info("took back processes that an earlier dsatd had left", "processes", len(s.adopted))
	}
}

// adoptable: the bus cannot go on with a filter, for it does not know which of its questions are answered.
func adoptable(t *topology.Satellite) bool {
	return t.OnDaemonDeath == topology.Adopt && !t.Speaks.Filter()
}

// lament remembers the deaths of those that are not taken back.
func (s *Supervisor) lament() {
	for _, e := range s.left {
		if e.pid == 0 {
			continue
		}
		d := Death{Time: s.now(), Ref: e.ref, Inc: e.inc, PID: e.living().pid, Code: -1, Cause: "ended while there was no dsatd; nobody knows how"}
		if p, err := readStat(e.living().pid); err == nil && p.kin == e.living() && !p.dead() {
			d.Asked, d.Cause = true, "was left by an earlier dsatd, and is replaced"
		}
		s.graves.add(d)
	}
}

// regain takes hold of one process, its output and its session; nil when it is not there any more, or cannot be held.
func (s *Supervisor) regain(i *instance, e recordEntry) *life {
	alive := e.living()
	p, err := readStat(alive.pid)
	// A child of ours that has ended meanwhile waits to be collected, and tells how.
	if err != nil || p.kin != alive || p.dead() && p.ppid != os.Getpid() {
		return nil
	}
	l := &life{of: i, spec: i.spec, stop: i.spec.Stop, inc: e.inc, pid: e.pid, start: e.start, started: startedAt(e.start), adopted: true, hello: e.ready, word: word{watchdog: i.spec.Notify.Watchdog}}
	if e.main.pid != 0 {
		err = s.reinstate(l, e.main)
	} else if p.ppid == os.Getpid() {
		s.reaper.take(l) // it came to us, because we are a subreaper, or after an exec in place
	} else {
		l.survivor, err = hold(e.kin)
	}
	if err != nil {
		s.log.Warn("cannot take back a process of an earlier dsatd; it is replaced", "instance", i.ref, "pid", alive.pid, "error", err)
		return nil
	}
	l.hunger = s.hunger
	l.cgroup = s.cgroups.find(i.ref, alive.pid)
	l.pipes = append(s.reopen(l, e), s.awaited(l, e)...)
	if s.bus != nil {
		if _, err := s.letIn(i.spec, i.ref, e.inc); err != nil {
			s.log.Warn("cannot let a process of an earlier dsatd reach the bus", "instance", i.ref, "error", err)
		}
		in, out := s.estate.filter(i)
		s.bus.Spawned(i.ref, e.inc, alive.pid, in, out)
		if e.handshake != "" {
			s.bus.Handshake(i.ref, e.inc, e.handshake)
		}
	}
	return l
}

// reopen takes the pipes of its output again, which the process itself has kept open. What it wrote meanwhile is in them.
func (s *Supervisor) reopen(l *life, e recordEntry) []*capture {
	var all []*capture
	for n, stream := range [2]logs.Stream{logs.Stdout, logs.Stderr} {
		if e.pipes[n] == 0 {
			continue
		}
		fd, err := s.estate.pipe(l.of.ref, stream)
		if err != nil {
			fd, err = openPipe(l.mainPID(), e.pipes[n])
		}
		if err != nil {
			s.log.Warn("cannot take back the output of a process; it is lost", "instance", l.of.ref, "stream", stream, "error", err)
			continue
		}
		target := l.spec.Log.Stdout
		if stream == logs.Stderr {
			target = stderrTarget(l.spec)
		}
		c, err := s.captureOf(l, fd, stream, target)
		if err != nil {
			unix.Close(fd)
			s.log.Warn("cannot take back the output of a process; it is lost", "instance", l.of.ref, "stream", stream, "error", err)
			continue
		}
		if stream == logs.Stdout && l.spec.Plugin != "" && s.bus != nil && e.handshake == "" {
			c.first = s.handshake(l)
		}
		if e.ready {
			c.match, c.found = nil, nil
		}
		all = append(all, c)
	}
	return all
}

// errShut: neither a process nor what it has forked has a pipe any more.
var errShut = errors.New("it has closed it")

// openPipe opens the reading end of a pipe by its inode, through a descriptor that the process or a child of it has.
func openPipe(pid int, inode uint64) (int, error) {
	want := fmt.Sprintf("pipe:[%d]", inode)
	holders := []int{pid}
	for _, k := range descendants(pid) {
		holders = append(holders, k.pid)
	}
	for _, holder := range holders {
		dir := fmt.Sprintf("/proc/%d/fd", holder)
		fds, err := names(dir)
		if err != nil {
			if holder == pid {
				return -1, err
			}
			continue
		}
		for _, fd := range fds {
			path := filepath.Join(dir, fd)
			if to, err := os.Readlink(path); err == nil && to == want {
				return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			}
		}
	}
	return -1, errShut
}

// inodes are the pipes of its stdout, its stderr and its ready.fd; 0: none of its own.
func inodes(captures []*capture) (of [3]uint64) {
	for _, c := range captures {
		var st unix.Stat_t
		if unix.Fstat(c.fd, &st) != nil {
			continue
		}
		switch {
		case c.book == nil:
			of[2] = st.Ino
		case c.stream == logs.Stdout:
			of[0] = st.Ino
		default:
			of[1] = st.Ino
		}
	}
	return of
}

// resume lets the loops have what was adopted.
func (s *Supervisor) resume() {
	s.estate.resume(s)
	if !s.estate.given {
		for _, i := range s.everyone() {
			i.rearm()
		}
	}
	for _, l := range s.adopted {
		for _, c := range l.pipes {
			s.output.add(c)
		}
		s.reopenInlet(l)
		l.tellSpawned()
		if h := l.heir.Load(); h != nil {
			s.attend(h)
		}
		if l.survivor == nil {
			continue
		}
		if err := s.output.watch(l.survivor.fd, func() { s.fallen(l) }); err != nil {
			s.log.Error("cannot watch a process of an earlier dsatd; it is killed", "instance", l.of.ref, "error", err)
			_ = l.survivor.signal(syscall.SIGKILL, true)
			s.fallen(l)
		}
	}
}

// fallen is told once a survivor has ended.
func (s *Supervisor) fallen(l *life) {
	e := l.survivor.exit()
	l.survivor.letGo()
	l.tellExit(e)
}

// reach signals a process, child or not.
func (s *Supervisor) reach(l *life, sig syscall.Signal, group bool) {
	if h := l.heir.Load(); h != nil {
		_ = h.signal(sig, group) // gone already: its exit is on the way
		return
	}
	if l.survivor != nil {
		_ = l.survivor.signal(sig, group) // gone already: its exit is on the way
		return
	}
	_ = s.reaper.signal(l, l.pid, sig, group) // as above
}

// send signals the process an instance has now.
func (s *Supervisor) send(ref topology.Ref, pid int, sig syscall.Signal) error {
	if l := s.adopted[ref]; l != nil && l.survivor != nil && l.pid == pid {
		return l.survivor.signal(sig, false)
	}
	return s.reaper.signalRef(ref, pid, sig)
}

// specOf is a word for all of an entry that shapes its processes: while it is the same, a process is as a new one would be. What
// concerns dsatd alone is left out.
func (s *Supervisor) specOf(t *topology.Satellite) string {
	now := s.roster()
	if len(t.EnvFile) > 0 {
		return s.shapeOf(now, t) // files change
	}
	return s.shapes.word(now, t, s.shapeOf)
}

// shapes keeps these words: an entry is never changed, and 1,000 instances have one in common.
type shapes struct {
	mu    sync.Mutex
	of    *roster
	words map[*topology.Satellite]string
}

func (c *shapes) word(of *roster, t *topology.Satellite, find func(*roster, *topology.Satellite) string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of != of {
		c.of, c.words = of, make(map[*topology.Satellite]string)
	}
	word, known := c.words[t]
	if !known {
		word = find(of, t)
		c.words[t] = word
	}
	return word
}

func (s *Supervisor) shapeOf(now *roster, t *topology.Satellite) string {
	shape := *t
	shape.Instances, shape.Autostart, shape.OnDaemonDeath = 0, false, ""
	shape.Needs, shape.After, shape.To, shape.Schedules, shape.Hooks = nil, nil, nil, nil, topology.Hooks{}
	shape.Ready, shape.Restart, shape.Stop = topology.Ready{FD: t.Ready.FD}, topology.Restart{}, topology.Stop{}
	shape.Recycle = topology.Recycle{}
	shape.Notify.Access = ""
	shape.FDStore, shape.FDStorePreserve = 0, false
	shape.Watch, shape.MovedFrom = topology.Watch{}, ""
	shape.Queue, shape.Work, shape.OnDone, shape.OnFailed, shape.Calls = topology.Queue{}, topology.Work{}, nil, nil, nil
	shape.Log = topology.Log{Stdout: t.Log.Stdout, Stderr: t.Log.Stderr}
	text, err := json.Marshal(shape)
	if err != nil {
		return "none" // options that JSON cannot tell: no process was ever started with them
	}
	h := sha256.New()
	h.Write(text)
	h.Write([]byte(now.topology.Dir))
	for _, name := range t.Sockets {
		if k := now.topology.Socket(name); k != nil {
			h.Write([]byte(describe(k)))
		}
	}
	for _, name := range t.EnvFile {
		content, err := os.ReadFile(s.absolute(name))
		fmt.Fprintf(h, "%q %v", content, err)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (s *Supervisor) absolute(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.roster().topology.Dir, name)
}

// clockTicks is the kernel's USER_HZ, in which /proc tells times, on every machine Go runs on.
const clockTicks = 100

// startedAt is when a process was started, by the kernel's clock.
func startedAt(start uint64) time.Time {
	var up unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Now()
	}
	age := time.Duration(up.Nano()) - time.Duration(start)*(time.Second/clockTicks)
	return time.Now().Add(-max(age, 0))
}

// distant finds what belongs to survivors that have ended. They were not our children, and what they leave does not come to us: it is
// known by its session and group, and by the environment it was given.
func (s *sweeper) distant(owned map[*life][]procStat) map[*life][]procStat {
	bySession, byName := make(map[int]*life), make(map[string]*life)
	for l := range s.waiting {
		if l.survivor == nil && (!l.adopted || l.heir.Load() == nil) {
			continue
		}
		byName[l.of.ref.String()] = l
		// A number that somebody else has now means that nobody of its session is left.
		if p, err := readStat(l.pid); err != nil || p.kin == (kin{l.pid, l.start}) {
			bySession[l.pid] = l
		}
		if h := l.heir.Load(); h != nil {
			bySession[h.pid] = l
		}
	}
	if len(byName) == 0 {
		return owned
	}
	pids, err := processes()
	if err != nil {
		s.log.Error("cannot list what was left behind; will try again", "error", err)
		return owned
	}
	if owned == nil {
		owned = make(map[*life][]procStat)
	}
	for _, pid := range pids {
		p, err := readStat(pid)
		if err != nil || p.dead() {
			continue
		}
		l := bySession[p.sid]
		if l == nil {
			l = bySession[p.pgid]
		}
		if l == nil {
			env := envOf(pid, "DSAT_RUN", "DSAT_INSTANCE", "DSAT_INCARNATION")
			if l = byName[env[1]]; l == nil || env[0] != s.runDir || env[2] != strconv.FormatUint(uint64(l.inc), 10) {
				continue
			}
		}
		owned[l] = append(owned[l], p)
	}
	return owned
}

// oneLine keeps a handshake from being two lines of the record.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, text)
}
