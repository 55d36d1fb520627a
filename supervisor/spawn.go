package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

var errCancelled = errors.New("was stopped before it was spawned")

// spawners is how many goroutines fork for all instances: more do not help, forks take turns.
const spawners = 2

// fork makes a life a process, or its failure an exit. The order of what happens around a fork is a contract: Admit, record of the intent, fork, Spawned, evSpawned, output.
func (s *Supervisor) fork(l *life) {
	defer l.fetched.burn()
	if l.cancelled.Load() || s.sealed.Load() {
		l.of.post(event{kind: evExit, life: l, exit: Exit{Err: errCancelled}})
		return
	}
	extra, barred := s.letIn(l.spec, l.of.ref, l.inc)
	s.record.intend(l.of.ref, l.inc)
	if s.boot.open.Load() {
		s.boot.spawned(l.of.ref)
	}
	err := barred
	if err == nil {
		err = s.launch(l, extra)
	}
	if err != nil {
		l.inlet.close()
		l.of.post(event{kind: evExit, life: l, exit: Exit{Err: err}})
	}
}

func (s *Supervisor) launch(l *life, extra []string) error {
	if l.lacks != nil {
		return l.lacks
	}
	given, err := s.give(l)
	if err != nil {
		return err
	}
	defer given.close()
	p, err := s.plan(l.spec, l.of.ref.WID)
	if err != nil {
		return err
	}
	given.tell(p)
	if err := s.listenTo(l, p); err != nil {
		return err
	}
	p.env = append(p.env, "DSAT_INCARNATION="+strconv.FormatUint(uint64(l.inc), 10))
	p.env = append(p.env, extra...)
	if l.cgroup, p.cgroup, err = s.cgroups.enter(l.of.ref, l.spec.Limits); err != nil {
		return err
	}
	l.hunger = s.hunger
	p.limited = len(l.spec.Limits.Controllers()) > 0
	defer p.letGo()
	pl, err := s.plumb(l)
	if err != nil {
		return fmt.Errorf("cannot open the pipes of %s: %w%s", l.of.ref, err, scarce(err))
	}
	if err = s.plumbReady(l, p, pl); err == nil {
		err = s.entrust(l, p, pl)
	}
	if err != nil {
		pl.closeChild()
		pl.closeOurs()
		return err
	}
	l.first = s.logs.Seq()
	s.reaper.expect()
	pid, report, err := s.execute(p, pl.child[:])
	pl.closeChild()
	if err != nil {
		s.reaper.forget()
		pl.closeOurs()
		return err
	}
	l.pid, l.started = pid, s.now()
	l.start = startTime(pid)
	l.inlet.main(pid)
	for _, c := range pl.captures {
		c.pid = pid // nobody reads it yet
	}
	l.pipes, l.filter = pl.captures, l.spec.Speaks.Filter()
	s.record.put(recordEntry{recordKey: recordKey{l.of.ref, l.inc}, kin: kin{pid, l.start}, spec: s.specOf(l.spec), pipes: inodes(pl.captures)})
	if s.bus != nil {
		s.bus.Spawned(l.of.ref, l.inc, pid, pl.in, pl.out)
	} else {
		pl.closeFilter()
	}
	if report == nil {
		s.reaper.admit(l, pid, l.tellSpawned)
	} else {
		l.passage = &passage{}
		s.reaper.admit(l, pid, func() {})
		if !s.crew.run(func() { l.passage.settle(p.refusal(report), l.tellSpawned, l.tellExit) }) {
			report.Close()
		}
	}
	for _, c := range pl.captures {
		s.output.add(c)
	}
	l.inlet.hear()
	return nil
}

// plan is what is executed.
type plan struct {
	path   string
	argv   []string
	env    []string
	dir    string
	who    identity
	traits *traits   // nil: nothing comes between fork and exec
	here   filling   // fills what is not known before
	handed []uintptr // descriptors beside the standard ones, from 3 on
	tty    bool      // descriptor 0 is a terminal, and becomes its controlling one

	cgroup  int  // descriptor of the control group to be spawned into; 0: none
	limited bool // and it must not be without
}

func (p *plan) letGo() {
	if p.cgroup > 0 {
		unix.Close(p.cgroup)
	}
}

func (s *Supervisor) plan(t *topology.Satellite, wid int) (*plan, error) {
	p, err := s.surroundings(t, wid)
	if err != nil {
		return nil, err
	}
	title := "dsat:" + topology.Ref{Name: t.Name, WID: wid}.String()
	switch {
	case filepath.IsAbs(t.Plugin):
		p.path, p.argv = t.Plugin, []string{title}
		return p, nil
	case t.Plugin != "":
		p.path, p.argv = s.self, []string{title, "plugin", t.Plugin}
		return p, nil
	case len(t.Command) == 0:
		return nil, fmt.Errorf("cannot execute %s: it has no command", t.Name)
	}
	if err := p.program(t.Command); err != nil {
		return nil, err
	}
	if (t.Speaks == topology.SpeaksLines || t.Speaks == topology.SpeaksJSON) && !t.TTY && s.stdbuf != "" {
		// A filter that buffers by block answers hundreds of lines late.
		p.argv = append([]string{"stdbuf", "-oL", p.path}, p.argv[1:]...)
		p.path = s.stdbuf
	}
	return p, nil
}

// surroundings is a plan of what all that runs for an instance has in common: all but the program. Without a satellite it is for
// dsatd itself.
func (s *Supervisor) surroundings(t *topology.Satellite, wid int) (*plan, error) {
	if t == nil {
		return &plan{dir: s.roster().topology.Dir, env: s.about(slices.Clone(s.inherited)), here: s.fillings(nil, wid)}, nil
	}
	here := s.here(t, wid)
	p := &plan{dir: here.Replace(t.Dir), traits: traitsOf(t.Process), here: here}
	if p.dir == "" {
		p.dir = s.roster().topology.Dir
	}
	var err error
	if p.who, err = identify(t.Process); err == nil {
		p.env, err = s.environment(t, wid, p.who, here)
	}
	if err == nil && filed(t) {
		dir := s.vaultOf(topology.Ref{Name: t.Name, WID: wid}, p.who)
		p.env = setenv(setenv(p.env, "CREDENTIALS_DIRECTORY", dir), "DSAT_SECRETS", dir)
	}
	return p, err
}

// program sets what is executed.
func (p *plan) program(argv []string) (err error) {
	for _, word := range argv {
		p.argv = append(p.argv, p.here.Replace(word))
	}
	p.path, err = lookPath(p.argv[0], p.env)
	return err
}

// explain finds which part of an exec failed; the kernel tells a number only.
func (p *plan) explain(err error) error {
	if p.dir != "" {
		if info, serr := os.Stat(p.dir); serr != nil {
			return fmt.Errorf("cannot enter the directory %s: %w", p.dir, cause(serr))
		} else if !info.IsDir() {
			return fmt.Errorf("cannot enter the directory %s: not a directory", p.dir)
		}
	}
	if errors.Is(err, unix.ENOENT) {
		if _, serr := os.Stat(p.path); serr == nil {
			return fmt.Errorf("cannot execute %s: the interpreter its first line names, or its loader, does not exist", p.path)
		}
	}
	if errors.Is(err, unix.ENOEXEC) {
		return fmt.Errorf("cannot execute %s: neither a program nor a script whose first line names its interpreter", p.path)
	}
	switch {
	case p.who.cred == nil:
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot execute %s as user %d with group %d: %w%s", p.path, p.who.cred.Uid, p.who.cred.Gid, err, powerless())
	case errors.Is(err, unix.EACCES):
		if at := p.who.barred(p.dir); at != "" {
			return p.shut(err)
		}
		if at := p.who.barred(p.path); at != "" {
			return fmt.Errorf("cannot execute %s: %w: %s is closed to user %d", p.path, err, at, p.who.cred.Uid)
		}
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("cannot execute %s: %w: user %d has as many processes as rlimits.nproc allows", p.path, err, p.who.cred.Uid)
	}
	return fmt.Errorf("cannot execute %s: %w%s", p.path, err, scarce(err))
}

// shut: its directory cannot be entered.
func (p *plan) shut(err error) error {
	if at := p.who.barred(p.dir); at != "" {
		return fmt.Errorf("cannot enter the directory %s: %w: %s is closed to user %d", p.dir, err, at, p.who.cred.Uid)
	}
	return fmt.Errorf("cannot enter the directory %s: %w", p.dir, err)
}

// cause strips "stat /x:" from an error, which is said already.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// lookPath finds a program as a shell would, by the PATH its own environment has.
func lookPath(name string, env []string) (string, error) {
	if strings.ContainsRune(name, '/') {
		return name, nil
	}
	path := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	forbidden := false
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		file := filepath.Join(dir, name)
		switch info, err := os.Stat(file); {
		case err != nil || info.IsDir():
		case unix.Access(file, unix.X_OK) != nil:
			forbidden = true
		default:
			return file, nil
		}
	}
	if forbidden {
		return "", fmt.Errorf("cannot execute %s: it is in PATH (%s) but not executable", name, path)
	}
	return "", fmt.Errorf("cannot execute %s: not found in PATH (%s)", name, path)
}
