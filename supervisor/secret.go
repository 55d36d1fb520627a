package supervisor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

const (
	secretLimit = 1 << 20 // bytes of one: what is larger is no secret but data
	sharedMem   = "/dev/shm"
)

// entrust hands a life its secrets: as files that only its user can read, or by descriptors of memory that nobody can change. What an
// earlier life was given is gone before.
func (s *Supervisor) entrust(l *life, p *plan, pl *plumbing) error {
	if len(l.spec.Secrets) == 0 {
		return nil
	}
	dir := ""
	if filed(l.spec) {
		var err error
		if dir, err = s.clearVault(l, p.who); err != nil {
			return err
		}
	}
	var numbers []string
	for _, g := range l.spec.Secrets {
		value, err := s.reveal(l, g)
		if err == nil && l.spec.ByDescriptor(g) {
			var fd int
			if fd, err = seal(g.As, value, p.who); err == nil {
				numbers = append(numbers, topology.SecretPlaceholder(g.As), strconv.Itoa(firstHanded+len(p.handed)))
				p.handed = append(p.handed, pl.lend(fd))
			}
		} else if err == nil {
			err = deposit(filepath.Join(dir, g.As), value, p.who)
		}
		clear(value)
		if err != nil {
			return errors.Join(fmt.Errorf("cannot hand over the secret %s: %w", g.Secret, err), shred(dir))
		}
	}
	p.fill(strings.NewReplacer(numbers...))
	if dir != "" && p.who.cred != nil {
		if err := os.Chown(dir, int(p.who.cred.Uid), int(p.who.cred.Gid)); err != nil {
			return errors.Join(fmt.Errorf("cannot hand over the secrets: %w", err), shred(dir))
		}
	}
	return nil
}

// filed reports whether a satellite is given a secret as a file.
func filed(t *topology.Satellite) bool {
	return slices.ContainsFunc(t.Secrets, func(g topology.SecretGrant) bool { return !t.ByDescriptor(g) })
}

// clearVault makes the empty directory of a life's secrets, closed to all but dsatd yet.
func (s *Supervisor) clearVault(l *life, who identity) (dir string, err error) {
	if err := s.openVault(who); err != nil {
		return "", fmt.Errorf("cannot keep the secrets of %s: %w", l.of.ref, err)
	}
	dir = s.vaultOf(l.of.ref, who)
	if err := shred(dir); err != nil {
		return "", fmt.Errorf("cannot remove the secrets of the process before: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("cannot keep the secrets of %s: %w", l.of.ref, err)
	}
	return dir, nil
}

// fill replaces in what a process is told.
func (p *plan) fill(r *strings.Replacer) {
	for i, word := range p.argv {
		p.argv[i] = r.Replace(word)
	}
	for i, kv := range p.env {
		p.env[i] = r.Replace(kv)
	}
}

func deposit(path string, value []byte, who identity) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	if err == nil && who.cred != nil {
		err = f.Chown(int(who.cred.Uid), int(who.cred.Gid))
	}
	return errors.Join(err, f.Close())
}

// seal puts a value into memory that can be read only, by the user alone, through the descriptor it returns.
func seal(name string, value []byte, who identity) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("cannot make memory for it: %w", err)
	}
	fail := func(err error) (int, error) {
		unix.Close(fd)
		return -1, err
	}
	for rest := value; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil && err != unix.EINTR {
			return fail(fmt.Errorf("cannot write it to memory: %w", err))
		}
		rest = rest[max(n, 0):]
	}
	if err := unix.Fchmod(fd, 0o400); err != nil {
		return fail(err)
	}
	if who.cred != nil {
		if err := unix.Fchown(fd, int(who.cred.Uid), int(who.cred.Gid)); err != nil {
			return fail(err)
		}
	}
	if _, err := unix.Seek(fd, 0, io.SeekStart); err != nil {
		return fail(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
		return fail(fmt.Errorf("cannot seal the memory it is in: %w", err))
	}
	return fd, nil
}

// vault is the directory of all secrets that processes of a user can reach: in the run directory where that is in memory and the user
// is dsatd's own, else in the machine's shared memory, else, for dsatd's own user, in the run directory on its disk.
func (s *Supervisor) vault(who identity) string {
	if who.cred == nil && (inMemory(s.runDir) || !inMemory(sharedMem)) {
		return s.ownVault()
	}
	return s.sharedVault()
}

func (s *Supervisor) openVault(who identity) error {
	dir := s.vault(who)
	if dir != s.ownVault() && !inMemory(sharedMem) {
		return fmt.Errorf("%s is not in memory, and the run directory is closed to another user", sharedMem)
	}
	return safeDir(dir)
}

// vaultOf is where the secrets of one instance are.
func (s *Supervisor) vaultOf(ref topology.Ref, who identity) string {
	return filepath.Join(s.vault(who), ref.Name+"."+strconv.Itoa(ref.WID))
}

func (s *Supervisor) ownVault() string { return filepath.Join(s.runDir, "secrets") }

func (s *Supervisor) sharedVault() string {
	return filepath.Join(sharedMem, fmt.Sprintf("dsat-%d-%x", os.Getuid(), sha256.Sum256([]byte(s.runDir)))[:len(sharedMem)+32])
}

func inMemory(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && (fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC)
}

// safeDir makes a directory that others can pass but neither list nor change, or makes sure that it is one of ours.
func safeDir(dir string) error {
	if err := os.Mkdir(dir, 0o711); err != nil && !os.IsExist(err) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a directory of dsatd's user: somebody else made it", dir)
	}
	return os.Chmod(dir, 0o711)
}

// shred removes the secrets of a life; what is on a disk is written over before.
func shred(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || inMemory(dir) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		_ = os.Chmod(path, 0o600)
		if f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW, 0); err == nil {
			if info, err := f.Stat(); err == nil {
				_, _ = f.Write(make([]byte, min(info.Size(), secretLimit))) // what cannot be written over is removed nevertheless
			}
			_ = f.Close()
		}
	}
	return os.RemoveAll(dir)
}

// forgetStrays removes the secrets of processes that an earlier daemon has left and that are no more.
func (s *Supervisor) forgetStrays() {
	for _, vault := range []string{s.ownVault(), s.sharedVault()} {
		entries, err := os.ReadDir(vault)
		if err != nil {
			continue // there are none
		}
		for _, e := range entries {
			name, wid, _ := strings.Cut(e.Name(), ".")
			n, err := strconv.Atoi(wid)
			if err == nil && s.adopted[topology.Ref{Name: name, WID: n}] != nil {
				continue
			}
			if err := shred(filepath.Join(vault, e.Name())); err != nil {
				s.log.Error("cannot remove secrets that an earlier dsatd has left", "error", err)
			}
		}
		_ = os.Remove(vault) // while it is in use it cannot be
	}
}

// secretNames are the variables of dsatd's own environment that hold secrets: nobody inherits them.
func secretNames(t *topology.Topology) map[string]bool {
	names := make(map[string]bool)
	for _, c := range t.Secrets {
		if c.Env != "" {
			names[c.Env] = true
		}
	}
	return names
}

// forgetSecrets is for a life of which nothing is left, be it adopted or not.
func (s *Supervisor) forgetSecrets(l *life) {
	if len(l.spec.Secrets) == 0 {
		return
	}
	name := l.of.ref.Name + "." + strconv.Itoa(l.of.ref.WID)
	for _, dir := range []string{filepath.Join(s.ownVault(), name), filepath.Join(s.sharedVault(), name)} {
		if err := shred(dir); err != nil {
			s.log.Error("cannot remove secrets", "directory", dir, "error", err)
		}
	}
}
