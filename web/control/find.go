package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The variables of the environment that name directories, before any search.
const (
	EnvRunDir   = "DSAT_RUN_DIR"   // the run directory itself
	EnvStateDir = "DSAT_STATE_DIR" // the state directory itself
)

// socketPathLimit is what the kernel allows, bytes (sun_path without its ending NUL).
const socketPathLimit = 107

const findTimeout = 250 * time.Millisecond

// RunDir is where the daemon of the topology NAME has its sockets unless it is told otherwise: the first of $DSAT_RUN_DIR,
// $RUNTIME_DIRECTORY (systemd's; NAME is appended unless it ends in it), $XDG_RUNTIME_DIR/dsat/NAME, /run/dsat/NAME for
// root, /tmp/dsat-UID/NAME. It creates nothing: see MakeDir.
func RunDir(name string) string {
	if dir := os.Getenv(EnvRunDir); dir != "" {
		return dir
	}
	if dir := systemdDir("RUNTIME_DIRECTORY", name); dir != "" {
		return dir
	}
	return filepath.Join(ownRoots()[0], name)
}

// StateDir is where the daemon of the topology NAME keeps what outlives it: the first of $DSAT_STATE_DIR, $STATE_DIRECTORY
// (systemd's), $XDG_STATE_HOME/dsat/NAME, /var/lib/dsat/NAME for root, ~/.local/state/dsat/NAME.
func StateDir(name string) string {
	if dir := os.Getenv(EnvStateDir); dir != "" {
		return dir
	}
	if dir := systemdDir("STATE_DIRECTORY", name); dir != "" {
		return dir
	}
	if home := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, "dsat", name)
	}
	if os.Getuid() == 0 {
		return filepath.Join("/var/lib/dsat", name)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(RunDir(name), "state")
	}
	return filepath.Join(home, ".local/state/dsat", name)
}

// systemdDir reads a directory list of systemd. Its first entry is the directory itself when the unit names it after the
// topology (RuntimeDirectory=dsat/probe), else the parent (RuntimeDirectory=dsat).
func systemdDir(variable, name string) string {
	dir, _, _ := strings.Cut(os.Getenv(variable), ":")
	if dir == "" || filepath.Base(dir) == name {
		return dir
	}
	return filepath.Join(dir, name)
}

// ownRoots are the directories in which run directories of this user may lie, the preferred one first.
func ownRoots() []string {
	var roots []string
	if dir := os.Getenv("XDG_RUNTIME_DIR"); usableRuntimeDir(dir) {
		roots = append(roots, filepath.Join(dir, "dsat"))
	}
	const writable = 2 // W_OK
	if os.Getuid() == 0 && syscall.Access("/run", writable) == nil {
		roots = append(roots, "/run/dsat")
	}
	return append(roots, filepath.Join("/tmp", "dsat-"+strconv.Itoa(os.Getuid())))
}

// usableRuntimeDir refuses one that belongs to another user (after su or sudo -E), and for root the one that logind removes
// when the last shell is left: a daemon of root belongs to the system.
func usableRuntimeDir(dir string) bool {
	return filepath.IsAbs(dir) && dir != "/run/user/0" && isOwn(dir)
}

func isOwn(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// MakeDir creates a run or state directory with mode 0700. It refuses one that others own or may write to, as anybody may
// have been first in /tmp.
func MakeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot create the directory: %w: choose another with --run-dir or --state-dir", err)
	}
	info, err := os.Stat(dir)
	if err == nil && !isPrivate(info) {
		err = errShared
	}
	if parent := filepath.Dir(dir); err == nil && strings.HasPrefix(parent, "/tmp/dsat-") {
		info, err = os.Lstat(parent) // a link there may be another user's
		if err == nil && !isPrivate(info) {
			err = errShared
		}
	}
	if err != nil {
		return fmt.Errorf("cannot use directory %s: %w: choose another with --run-dir or --state-dir", dir, err)
	}
	return nil
}

var errShared = errors.New("it or its parent belongs to another user, or others may write to it")

func isPrivate(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(stat.Uid) == os.Getuid() && info.Mode().Perm()&0o022 == 0
}

// CheckSocket refuses a path that is too long for a unix socket. Its error is an *Error of KindInvalid.
func CheckSocket(path string) error {
	if len(path) <= socketPathLimit {
		return nil
	}
	return &Error{Kind: KindInvalid, Message: fmt.Sprintf(
		"cannot use %s as a socket: the path has %d bytes and the kernel allows %d: choose a shorter --run-dir",
		path, len(path), socketPathLimit)}
}

// Found is a daemon's run directory, alive or left behind.
type Found struct {
	Name   string // of the topology
	RunDir string
	Socket string
	PID    int  // of the process that listens; 0 when it is not alive, denied or out of sight
	Alive  bool // the socket took our connection
	Denied bool // somebody else's: we may not ask
}

// Find looks for run directories with a control socket in every place where RunDir puts them, in order of name. That no
// such place exists, or that it is closed to this user, is no error; one that cannot be read is.
func Find() ([]Found, error) {
	var all []Found
	for _, root := range searchRoots() {
		entries, err := os.ReadDir(root)
		// Root's folder is closed to others: what is in it is not theirs to steer.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look for daemons: %w: name one with --run-dir", err)
		}
		for _, entry := range entries {
			dir := filepath.Join(root, entry.Name())
			socket := filepath.Join(dir, SocketName)
			info, err := os.Stat(socket)
			switch {
			case errors.Is(err, fs.ErrPermission):
				all = append(all, Found{Name: entry.Name(), RunDir: dir, Socket: socket, Denied: true})
			case err == nil && info.Mode().Type() == fs.ModeSocket:
				all = append(all, knock(Found{Name: entry.Name(), RunDir: dir, Socket: socket}))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Found) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// searchRoots are all places to look: this user's, the system's, and the parent of the one that systemd names. Those in
// /tmp count only when they are this user's own, else anybody could pose as the daemon.
func searchRoots() []string {
	var roots []string
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		roots = append(roots, dir, filepath.Dir(dir))
	}
	for _, root := range append(ownRoots(), "/run/dsat") {
		if !strings.HasPrefix(root, "/tmp/") || isOwn(root) {
			roots = append(roots, root)
		}
	}
	slices.Sort(roots)
	return slices.Compact(roots)
}

// knock finds out whether somebody listens, and who.
func knock(f Found) Found {
	conn, err := net.DialTimeout("unix", f.Socket, findTimeout)
	switch {
	case errors.Is(err, syscall.EAGAIN), err != nil && isTimeout(err):
		f.Alive = true // somebody listens, with more callers than it takes
	case errors.Is(err, syscall.EACCES):
		f.Denied = true
	case err == nil:
		f.Alive = true
		f.PID = peer(conn)
		_ = conn.Close() // nothing was written
	}
	return f
}

// peer is the process that listens at the other end, 0 when the kernel does not tell.
func peer(conn net.Conn) int {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return 0
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	err = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	if err != nil {
		return 0
	}
	return pid
}

// Listener asks the kernel which process listens at the socket; 0 when none does or it is out of sight.
func Listener(socket string) int {
	return knock(Found{Socket: socket}).PID
}

// Answers tells whether somebody listens at the socket.
func Answers(socket string) bool {
	return knock(Found{Socket: socket}).Alive
}
