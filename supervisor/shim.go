package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// shimReport is what it says.
type shimReport struct {
	Step  string // what it could not do: "set nofile to 10:20"
	Why   string
	Errno int // 0: none
}

// Steps whose failure needs more words than their own.
const (
	stepExec  = "exec"
	stepEnter = "enter"
)

// Exec is `dsatd exec TRAITS PATH ARGV...`, the shim between a fork and the program: it gives this process the traits and becomes the
// program, with the same pid. It returns, with an exit code, only when it could not; and says why through the descriptor that its
// traits name, which closes with the exec.
func Exec(args []string) int {
	var t traits
	if len(args) < 3 || json.Unmarshal([]byte(args[0]), &t) != nil || !isOpen(t.Report) {
		fmt.Fprintln(os.Stderr, "dsatd exec is what dsatd executes itself as, on the way to a satellite's program; it is of no use by hand")
		return 2
	}
	unix.CloseOnExec(t.Report)
	// What is set here belongs to a thread, and the thread that calls exec is the one that stays. From the limits on, the runtime had
	// better not ask for memory.
	runtime.LockOSThread()
	debug.SetGCPercent(-1)
	env := os.Environ()
	if t.Listens {
		env = setenv(env, "LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	if t.Watched {
		env = setenv(env, "WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	}
	step, err := t.assume()
	if err == nil {
		step, err = stepExec, syscall.Exec(args[1], args[2:], env)
	}
	r := shimReport{Step: step, Why: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		r.Errno, r.Why = int(errno), errno.Error()
	}
	text, err := json.Marshal(r)
	if err == nil {
		_, err = unix.Write(t.Report, text)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "dsatd exec: cannot %s: %s\n", r.Step, r.Why)
	}
	return 126
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return fd >= firstHanded && err == nil
}

// assume takes on the traits: first what root may and others may not, then the user, then what can only be given up. It returns what
// failed.
func (t *traits) assume() (step string, err error) {
	if t.OOMScoreAdj != nil {
		if err := writeNumber("/proc/self/oom_score_adj", *t.OOMScoreAdj); err != nil {
			return fmt.Sprintf("set oom_score_adj to %d", *t.OOMScoreAdj), err
		}
	}
	if t.Nice != nil {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, *t.Nice); err != nil {
			return fmt.Sprintf("set nice to %d", *t.Nice), err
		}
	}
	if err := t.bind(); err != nil {
		return "run on the processors of cpu_affinity", err
	}
	if t.Umask != nil {
		unix.Umask(int(*t.Umask))
	}
	if step, err := t.bound(); err != nil {
		return step, err
	}
	for resource, l := range t.Rlimits {
		if l == nil {
			continue
		}
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: l.Soft, Max: l.Hard}); err != nil {
			return fmt.Sprintf("set %s to %s:%s", topology.RlimitName(resource), limitText(l.Soft), limitText(l.Hard)), err
		}
	}
	if err := t.become(); err != nil {
		return fmt.Sprintf("become user %d with group %d", t.Credential.Uid, t.Credential.Gid), err
	}
	if err := t.keep(); err != nil {
		return "keep its capabilities", err
	}
	if t.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return "set no_new_privs", err
		}
	}
	return stepEnter, unix.Chdir(t.Dir)
}

func limitText(v uint64) string {
	if v == topology.Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(v, 10)
}

func writeNumber(path string, n int) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(strconv.Itoa(n)))
	return err
}

// bind sets the processors, and looks whether all were granted: the kernel is content with one.
func (t *traits) bind() error {
	if t.CPUs == nil {
		return nil
	}
	var want, got unix.CPUSet
	for _, n := range t.CPUs {
		want.Set(n)
	}
	err := unix.SchedSetaffinity(0, &want)
	if err == nil {
		err = unix.SchedGetaffinity(0, &got)
	}
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: there is none of them
		return err
	}
	var missing []string
	for _, n := range t.CPUs {
		if !got.IsSet(n) {
			missing = append(missing, strconv.Itoa(n))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("this machine, or dsatd's share of it, does not have %s", strings.Join(missing, ", "))
	}
	return nil
}

// bound makes it impossible ever to gain a capability that is not kept.
func (t *traits) bound() (step string, err error) {
	if t.Capabilities == nil {
		return "", nil
	}
	have, err := capabilities()
	if err != nil {
		return "read its capabilities", err
	}
	names := topology.CapabilityNames()
	for _, c := range *t.Capabilities {
		if have[c/32].Permitted&(1<<(c%32)) == 0 {
			return "keep the capability " + names[c], errors.New("dsatd has not got it itself")
		}
	}
	for c := range 64 {
		has, _ := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0) // refused for those the kernel does not know
		if has != 1 || slices.Contains(*t.Capabilities, c) {
			continue
		}
		// Without new privileges the bound would never be tried.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !t.NoNewPrivs {
			return "give up capabilities for ever, which no_new_privs = true makes needless", err
		}
	}
	return "", nil
}

// become changes groups and user of this thread only; the others end with the exec.
func (t *traits) become() error {
	c := t.Credential
	if c == nil {
		return nil
	}
	if t.Capabilities != nil {
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(c.Groups)), uintptr(unsafe.Pointer(unsafe.SliceData(c.Groups))), 0); errno != 0 {
		return errno
	}
	gid, uid := uintptr(c.Gid), uintptr(c.Uid)
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return errno
	}
	if _, _, errno := syscall.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return errno
	}
	return nil
}

// keep sets the capabilities to those that are kept, in a way that outlives the exec for any user.
func (t *traits) keep() error {
	if t.Capabilities == nil {
		return nil
	}
	var set [2]unix.CapUserData
	for _, c := range *t.Capabilities {
		bit := uint32(1) << (c % 32)
		set[c/32].Permitted |= bit
		set[c/32].Effective |= bit
		set[c/32].Inheritable |= bit
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&header, &set[0]); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	for _, c := range *t.Capabilities {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return err
		}
	}
	return nil
}

func capabilities() (set [2]unix.CapUserData, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err = unix.Capget(&header, &set[0])
	return set, err
}
