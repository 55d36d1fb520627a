package supervisor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// cgroups is the control groups (version 2) of one run directory: a group for each instance, below one for all, below one that was
// delegated to dsatd. Whatever an instance forks is in its group, wherever it hides. Where there is none, sessions, the
// environment and being a subreaper have to do (broken says why). https://docs.kernel.org/admin-guide/cgroup-v2.html
type cgroups struct {
	base string // was delegated to us
	top  bool   // base is the topmost group, which cannot have been killed
	tree string // all instances of this run directory
	log  *slog.Logger

	mu      sync.Mutex
	broken  error           // why nobody is spawned into groups any more; nil: all is well
	enabled map[string]bool // controllers that the groups have
	made    map[string]bool
}

// cgroup is the group of one instance, for all its lives.
type cgroup struct {
	path   string
	hunger hungered // when the life began

	killed atomic.Bool // cgroup.kill was written
	frozen atomic.Bool // somebody has frozen it
}

// leaf is where dsatd itself goes when the group it is in has to give controllers away: a group with processes cannot.
const leaf = "dsat-daemon"

// treeOf ends the name of a run directory's tree; before it is that of the topology, which may be another the next time.
func treeOf(runDir string) string {
	sum := sha256.Sum256([]byte(runDir))
	return "-" + hex.EncodeToString(sum[:4])
}

// openCgroups finds or makes the tree. want is "auto", "off" or the path of a group.
func openCgroups(want, name, runDir string, log *slog.Logger) *cgroups {
	c := &cgroups{log: log, enabled: make(map[string]bool), made: make(map[string]bool)}
	if c.base, c.broken = delegated(want); c.broken != nil {
		return c
	}
	_, top, err := ownCgroup()
	c.top = err == nil && c.base == top
	c.tree = filepath.Join(c.base, "dsat-"+name+treeOf(runDir))
	if err := os.Mkdir(c.tree, 0o755); err == nil {
		return c
	} else if !errors.Is(err, fs.ErrExist) {
		c.broken = fmt.Errorf("cannot make the control group %s: %w", c.tree, cause(err))
	} else if err := c.resume(); err != nil {
		c.broken = err
	}
	if c.broken != nil {
		c.log.Warn("goes on without control groups", "error", c.broken)
	}
	return c
}

// resume finds what an earlier dsatd has given to the tree. A service manager may have put us into the group above meanwhile: the kernel
// lets it where that gave away only what it can beside processes, and nobody lives below. Then all below is invalid, also the leaf (see
// step), until it is taken back.
func (c *cgroups) resume() error {
	text, _ := os.ReadFile(filepath.Join(c.tree, "cgroup.subtree_control")) // there are none of what cannot be read
	given := strings.Fields(string(text))
	if !c.crowded() {
		for _, name := range given {
			c.enabled[name] = true
		}
		return nil
	}
	for _, name := range given {
		for _, dir := range []string{c.tree, c.base} {
			if err := write(dir, "cgroup.subtree_control", "-"+name); err != nil {
				return fmt.Errorf("cannot take back the controller %s of %s: %w", name, dir, err)
			}
		}
	}
	return c.enable(given)
}

// delegated is the directory of a group that we may divide.
func delegated(want string) (string, error) {
	switch {
	case want == "off":
		return "", errors.New("daemon.cgroup is off")
	case strings.HasPrefix(want, "/"):
		if _, err := os.Stat(filepath.Join(want, "cgroup.procs")); err != nil {
			return "", fmt.Errorf("%s is no control group of version 2", want)
		}
		return want, nil
	}
	own, top, err := ownCgroup()
	if err != nil {
		return "", err
	}
	if filepath.Base(own) == leaf {
		own = filepath.Dir(own)
	}
	for _, dir := range []string{own, filepath.Dir(own)} { // with DelegateSubgroup= it is the one above
		if marked(dir) && unix.Access(dir, unix.W_OK) == nil {
			return dir, nil
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(own, &st); err != nil {
		return "", fmt.Errorf("cannot look at the control group %s: %w", own, err)
	}
	mine := int(st.Uid) == os.Geteuid() && os.Geteuid() != 0
	if (own == top || mine) && unix.Access(own, unix.W_OK) == nil {
		return own, nil
	}
	return "", fmt.Errorf("the control group %s is not delegated to dsatd: under systemd say Delegate=yes, else daemon.cgroup", own)
}

// marked: systemd marks what it has delegated.
func marked(dir string) bool {
	var value [8]byte
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

// ownCgroup is the directory of the group dsatd is in, and of the topmost one it can see.
func ownCgroup() (own, top string, err error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", "", err
	}
	path, found := "", false
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "0::"); ok {
			path, found = strings.TrimSuffix(rest, "\n"), true
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", err
	}
	if found {
		if own, top, ok := locateCgroup(string(mounts), path); ok {
			return own, top, nil
		}
	}
	return "", "", errors.New("this machine has no control groups of version 2, or they are not mounted")
}

// locateCgroup finds the directory of a group among the mounts, as /proc/self/mountinfo lists them: proc(5).
func locateCgroup(mounts, path string) (own, top string, ok bool) {
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if !ok || len(f) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		if rest, below := strings.CutPrefix(path, strings.TrimSuffix(f[3], "/")); below {
			return filepath.Join(f[4], rest), f[4], true
		}
	}
	return "", "", false
}

// enter makes the group of an instance ready for a life: its limits are set, and fd is the directory to be spawned into, for the caller
// to close. nil without an error: it goes without a group.
func (c *cgroups) enter(ref topology.Ref, limits topology.Limits) (g *cgroup, fd int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return nil, 0, refuse(limits, c.broken)
	}
	g = &cgroup{path: c.pathOf(ref)}
	if err := c.enable(limits.Controllers()); err != nil {
		return nil, 0, err
	}
	fresh := false
	if !c.made[g.path] {
		if err := renew(g.path); err != nil {
			return nil, 0, err
		}
		fresh = true
		c.made[g.path] = true
	}
	if err := g.limit(limits, c.enabled); err != nil {
		return nil, 0, err
	}
	if !fresh && c.enabled["memory"] { // nobody was killed in one that was made just now
		g.hunger = g.hungered()
	}
	if fd, err = unix.Open(g.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, 0, fmt.Errorf("cannot open the control group %s: %w%s", g.path, err, scarce(err))
	}
	return g, fd, nil
}

// leave is told when nobody is left of a life. Linux kills what is spawned into a group that was killed once (seen on 6.18: the new
// process is compared with the kills its parent's group has seen), and what is spawned into a frozen one does not run: such a group is
// taken away.
func (c *cgroups) leave(g *cgroup) {
	if g == nil || !g.killed.Load() && !g.frozen.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := dissolve(g.path); err != nil {
		c.log.Error("cannot take away a control group that was killed or frozen", "error", err)
	}
	delete(c.made, g.path)
}

// renew makes a group. An earlier dsatd may have killed one of this name, and been killed before it took that away: see leave.
func renew(path string) error {
	err := os.Mkdir(path, 0o755)
	if errors.Is(err, fs.ErrExist) {
		if err := dissolve(path); err != nil {
			return fmt.Errorf("cannot take away the control group of an earlier dsatd: %w", err)
		}
		err = os.Mkdir(path, 0o755)
	}
	if err != nil {
		return fmt.Errorf("cannot make the control group %s: %w", path, cause(err))
	}
	return nil
}

// dissolve takes a group away, with what its processes have made below it; nobody lives in it.
func dissolve(path string) error {
	below, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, d := range below {
		if d.IsDir() {
			err = errors.Join(err, dissolve(filepath.Join(path, d.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// fail says that the kernel, or a guard around it, does not spawn into groups.
func (c *cgroups) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken == nil {
		c.broken = fmt.Errorf("cannot spawn into a control group: %w", err)
		c.log.Warn("goes on without control groups", "error", c.broken)
	}
}

func (c *cgroups) pathOf(ref topology.Ref) string {
	return filepath.Join(c.tree, ref.Name+"."+strconv.Itoa(ref.WID))
}

// find is the group a process of an earlier daemon is in; nil: it is not in its own.
func (c *cgroups) find(ref topology.Ref, pid int) *cgroup {
	if c.tree == "" {
		return nil
	}
	g := &cgroup{path: c.pathOf(ref)}
	if !slices.Contains(g.members(), pid) {
		return nil
	}
	g.hunger = g.hungered()
	return g
}

// members maps every process in the tree to its instance's name.
func (c *cgroups) members() map[int]string {
	of := make(map[int]string)
	if c.tree == "" {
		return of
	}
	groups, _ := os.ReadDir(c.tree) // nothing there is nobody there
	for _, d := range groups {
		dot := strings.LastIndexByte(d.Name(), '.')
		if !d.IsDir() || dot < 0 {
			continue
		}
		g := cgroup{path: filepath.Join(c.tree, d.Name())}
		for _, pid := range g.members() {
			of[pid] = d.Name()[:dot] + ":" + d.Name()[dot+1:]
		}
	}
	return of
}

// enable gives the groups the controllers.
func (c *cgroups) enable(controllers []string) error {
	for _, name := range controllers {
		if c.enabled[name] {
			continue
		}
		if err := c.step(); err != nil {
			return fmt.Errorf("cannot give away the controller %s of %s: %w", name, c.base, err)
		}
		if err := c.control(c.base, name); err != nil {
			return fmt.Errorf("cannot give away the controller %s of %s: %w", name, c.base, err)
		}
		if err := c.control(c.tree, name); err != nil {
			return fmt.Errorf("cannot give away the controller %s of %s: %w", name, c.tree, err)
		}
		c.enabled[name] = true
	}
	return nil
}

func (c *cgroups) control(dir, name string) error {
	return write(dir, "cgroup.subtree_control", "+"+name)
}

// step moves all processes of the base, which are dsatd and what it runs beside the instances, to a leaf. A group that gives memory or
// io away can have no processes; one that gives away cpu or pids may, but becomes the root of threads by it, and the groups below it
// become invalid.
func (c *cgroups) step() error {
	if !c.crowded() {
		return nil
	}
	aside := filepath.Join(c.base, leaf)
	if err := os.Mkdir(aside, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make the control group %s: %w", aside, cause(err))
	}
	for range mostSteps {
		left := procs(c.base)
		if len(left) == 0 {
			return nil
		}
		for _, pid := range left {
			if err := write(aside, "cgroup.procs", strconv.Itoa(pid)); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("cannot move process %d to the control group %s: %w", pid, aside, err)
			}
		}
	}
	return fmt.Errorf("cannot empty the control group %s: there are always more processes in it", c.base)
}

// crowded: the base has processes, and is not the topmost group of all, which may.
func (c *cgroups) crowded() bool {
	_, err := os.Stat(filepath.Join(c.base, "cgroup.type"))
	return err == nil && len(procs(c.base)) > 0
}

// mostSteps bounds how often those are moved that were forked meanwhile.
const mostSteps = 100

// tidy takes away the groups that killed daemons of this run directory have left, also under another name of the topology. It is called
// when what lived in them is gone, or is kept: keep are the groups of those that were taken back.
func (c *cgroups) tidy(keep map[string]bool) {
	if c.tree == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	suffix := c.tree[strings.LastIndexByte(c.tree, '-'):]
	trees, _ := os.ReadDir(c.base) // what cannot be seen cannot be taken away
	for _, d := range trees {
		tree := filepath.Join(c.base, d.Name())
		if !d.IsDir() || !strings.HasPrefix(d.Name(), "dsat-") || !strings.HasSuffix(d.Name(), suffix) {
			continue
		}
		groups, _ := os.ReadDir(tree)
		for _, g := range groups {
			path := filepath.Join(tree, g.Name())
			if g.IsDir() && !keep[path] && !c.made[path] && !(&cgroup{path: path}).populated() {
				_ = dissolve(path) // one that is still dying stays for the end, or for the next dsatd
			}
		}
		if tree != c.tree {
			_ = os.Remove(tree)
		}
	}
}

// drop takes the group of an instance away that is not in the topology any more.
func (c *cgroups) drop(ref topology.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if path := c.pathOf(ref); c.made[path] && dissolve(path) == nil {
		delete(c.made, path)
	}
}

// end kills what is in the tree, which is nobody after a stop in good order, and takes it away.
func (c *cgroups) end() {
	if c.tree == "" {
		return
	}
	c.kill()
	groups, _ := os.ReadDir(c.tree)
	for _, d := range groups {
		if path := filepath.Join(c.tree, d.Name()); d.IsDir() && unix.Rmdir(path) != nil {
			_ = dissolve(path) // one that is still dying stays, empty, for the next dsatd
		}
	}
	_ = os.Remove(c.tree)
}

// kill kills whoever is in the tree.
func (c *cgroups) kill() {
	if c.tree == "" {
		return
	}
	if all := (&cgroup{path: c.tree}); all.populated() {
		all.kill()
	}
}

// members are the processes of the group, and of those that its processes have made below it.
func (g *cgroup) members() []int {
	pids := procs(g.path)
	below, _ := os.ReadDir(g.path) // it may be gone
	for _, d := range below {
		if d.IsDir() {
			pids = append(pids, (&cgroup{path: filepath.Join(g.path, d.Name())}).members()...)
		}
	}
	return pids
}

// procs are the processes of one group.
func procs(dir string) []int {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for line := range bytes.Lines(text) {
		if pid, err := strconv.Atoi(string(bytes.TrimSpace(line))); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// populated: somebody lives in it, or below it.
func (g *cgroup) populated() bool {
	text, err := readSmall(filepath.Join(g.path, "cgroup.events"))
	if bytes.Contains(text, []byte("frozen 1")) {
		g.frozen.Store(true)
	}
	return err == nil && bytes.Contains(text, []byte("populated 1"))
}

// living adds those in the group to those that were found otherwise. sure: the kernel says that nobody else is left.
func (g *cgroup) living(found []procStat) (all []procStat, sure bool) {
	if g == nil {
		return found, false
	}
	if !g.populated() {
		return found, true
	}
	for _, pid := range g.members() {
		if p, err := readStat(pid); err == nil && !slices.ContainsFunc(found, func(f procStat) bool { return f.kin == p.kin }) {
			found = append(found, p)
		}
	}
	return found, len(found) > 0
}

// kill kills all of it at once, also what is being forked just now. Before Linux 5.14 one after the other.
func (g *cgroup) kill() {
	g.killed.Store(true)
	if write(g.path, "cgroup.kill", "1") == nil {
		return
	}
	for _, pid := range g.members() {
		if start := startTime(pid); start != 0 {
			shoot(kin{pid, start}, unix.SIGKILL)
		}
	}
}

func write(dir, file, text string) error {
	fd, err := unix.Open(filepath.Join(dir, file), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}
