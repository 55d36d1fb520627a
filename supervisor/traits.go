package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// traits are what a process has to give itself before it executes its program, because nobody can do it between fork and exec. Only a
// satellite that asks for one pays for the shim: dsatd, executed once more, which becomes the program (shim.go).
type traits struct {
	Umask        *uint32 `json:",omitempty"`
	Nice         *int    `json:",omitempty"`
	OOMScoreAdj  *int    `json:",omitempty"`
	CPUs         []int   `json:",omitempty"`
	Rlimits      topology.Rlimits
	Capabilities *[]int              `json:",omitempty"` // by the kernel's numbers; nil: as they come
	NoNewPrivs   bool                `json:",omitempty"`
	Credential   *syscall.Credential `json:",omitempty"`
	Dir          string
	Listens      bool `json:",omitempty"` // it is handed sockets, and is to be told its own pid
	Watched      bool `json:",omitempty"` // so has what has a watchdog
	Report       int  // the descriptor by which the shim says why it failed
}

// traitsOf is nil when plain fork and exec will do.
func traitsOf(p topology.Process) *traits {
	if p.Umask == nil && p.Nice == nil && p.OOMScoreAdj == nil && p.CPUAffinity == nil && !p.NoNewPrivs && p.Capabilities == nil &&
		p.Rlimits == (topology.Rlimits{}) {
		return nil
	}
	t := &traits{Umask: p.Umask, Nice: p.Nice, OOMScoreAdj: p.OOMScoreAdj, CPUs: p.CPUAffinity, Rlimits: p.Rlimits, NoNewPrivs: p.NoNewPrivs}
	if p.Capabilities != nil {
		all, keep := topology.CapabilityNames(), []int{}
		for _, name := range p.Capabilities {
			keep = append(keep, slices.Index(all, name))
		}
		t.Capabilities = &keep
	}
	return t
}

// execute forks the process of a plan, with those descriptors from 0 on. report is not nil when a shim goes before the program: it
// then tells, by refusal, how that went.
func (s *Supervisor) execute(p *plan, files []uintptr) (pid int, report *os.File, err error) {
	files = append(slices.Clone(files), p.handed...)
	attr := &syscall.ProcAttr{Dir: p.dir, Env: p.env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true, Setctty: p.tty}}
	if p.traits == nil {
		attr.Sys.Credential = p.who.cred
		if pid, err = s.clone(p, p.path, p.argv, attr); err != nil {
			return 0, nil, p.explain(err)
		}
		return pid, nil, nil
	}
	p.traits.Credential, p.traits.Dir, attr.Dir = p.who.cred, p.dir, ""
	p.traits.Report = len(files)
	text, err := json.Marshal(p.traits)
	if err != nil {
		return 0, nil, fmt.Errorf("cannot execute %s: %w", p.path, err)
	}
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return 0, nil, fmt.Errorf("cannot execute %s: %w", p.path, err)
	}
	report = os.NewFile(uintptr(fd[0]), "report of a shim")
	attr.Files = append(files, uintptr(fd[1]))
	pid, err = s.clone(p, s.self, append([]string{p.argv[0], "exec", string(text), p.path}, p.argv...), attr)
	unix.Close(fd[1])
	if err != nil {
		report.Close()
		return 0, nil, fmt.Errorf("cannot execute dsatd itself (%s), which goes before %s: %w", s.self, p.path, err)
	}
	return pid, report, nil
}

// clone is fork and exec, into the control group of the plan. Where the kernel or a guard around it does not do that, it goes without,
// unless it is to be limited.
func (s *Supervisor) clone(p *plan, path string, argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = p.cgroup > 0, p.cgroup
	pid, err = s.forkExec(path, argv, attr)
	if err == nil || p.cgroup == 0 || p.limited || !slices.Contains([]error{unix.ENOSYS, unix.EINVAL, unix.EOPNOTSUPP, unix.EPERM, unix.EACCES, unix.EBUSY}, err) {
		return pid, err
	}
	first := err
	attr.Sys.UseCgroupFD = false
	if pid, err = s.forkExec(path, argv, attr); err == nil {
		s.cgroups.fail(first)
	}
	return pid, err
}

// canary is spawned into a group, once, where dsatd's own group may have been killed before: Linux can take every process for one that
// was forked during that kill. It is dsatd itself, which ends at once. Nothing else waits for children yet.
func (s *Supervisor) canary() {
	if s.cgroups.broken != nil || s.cgroups.top {
		return
	}
	ref := topology.Ref{Name: ".canary"}
	_, fd, err := s.cgroups.enter(ref, topology.Limits{})
	if err != nil {
		s.cgroups.fail(err)
		return
	}
	defer s.cgroups.drop(ref)
	defer unix.Close(fd)
	null := uintptr(s.null)
	pid, err := syscall.ForkExec(s.self, []string{"dsat:canary", "exec"}, &syscall.ProcAttr{
		Files: []uintptr{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: fd},
	})
	var ws syscall.WaitStatus
	if err == nil {
		_, err = syscall.Wait4(pid, &ws, 0, nil)
	}
	switch {
	case err != nil:
		s.cgroups.fail(err)
	case ws.Signaled():
		s.cgroups.fail(fmt.Errorf("what is spawned there is killed by %s", unix.SignalName(ws.Signal())))
	}
}

// shimPatience is how long a shim may take before it counts as the program, so that a stop can end it.
const shimPatience = 10 * time.Second

// refusal waits until the shim became the program, which is nil, or said why it could not.
func (p *plan) refusal(report *os.File) error {
	defer report.Close()
	_ = report.SetReadDeadline(time.Now().Add(shimPatience)) // a pipe that does not block has deadlines
	text, _ := io.ReadAll(io.LimitReader(report, 4096))      // after the deadline: nothing was said
	var r shimReport
	if len(text) == 0 || json.Unmarshal(text, &r) != nil {
		return nil
	}
	errno := syscall.Errno(r.Errno)
	switch {
	case r.Step == stepExec:
		return p.explain(errno)
	case r.Step == stepEnter:
		return p.shut(errno)
	case errors.Is(errno, unix.EPERM) || errors.Is(errno, unix.EACCES):
		return fmt.Errorf("cannot execute %s: cannot %s: %s%s", p.path, r.Step, r.Why, powerless())
	}
	return fmt.Errorf("cannot execute %s: cannot %s: %s", p.path, r.Step, r.Why)
}

// passage orders two messages of a process that begins as a shim: that it became the program, or why not, comes before its exit. A nil
// passage is one that is over.
type passage struct {
	mu   sync.Mutex
	over bool
	err  error
	exit *Exit
}

// pass returns the exit to tell; false when it is kept until the passage is over.
func (p *passage) pass(e Exit) (Exit, bool) {
	if p == nil {
		return e, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.exit = &e
		return e, false
	}
	return p.judge(e), true
}

func (p *passage) judge(e Exit) Exit {
	if p.err != nil {
		return Exit{Err: p.err, Usage: e.Usage}
	}
	return e
}

// settle ends the passage. executed is called when the program runs, ended when an exit was kept.
func (p *passage) settle(err error, executed func(), ended func(Exit)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over, p.err = true, err
	if err == nil {
		executed()
	}
	if p.exit != nil {
		ended(p.judge(*p.exit))
	}
}
