package supervisor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

const (
	secretLimit = 1 << 20 // bytes of one: what is larger is no secret but data
	sharedMem   = "/dev/shm"
)

// entrust writes the secrets of a life where only its user can read them, and returns the environment that says where. What an earlier
// life was given is gone before.
func (s *Supervisor) entrust(l *life, who identity) ([]string, error) {
	if len(l.spec.Secrets) == 0 {
		return nil, nil
	}
	base, err := s.vault(who)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the secrets of %s: %w", l.of.ref, err)
	}
	dir := filepath.Join(base, l.of.ref.Name+"."+strconv.Itoa(l.of.ref.WID))
	if err := shred(dir); err != nil {
		return nil, fmt.Errorf("cannot remove the secrets of the process before: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot keep the secrets of %s: %w", l.of.ref, err)
	}
	for _, c := range l.spec.Secrets {
		if err := deposit(dir, c, who); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot hand over the secret %s: %w", c.Name, err), shred(dir))
		}
	}
	if who.cred != nil {
		if err := os.Chown(dir, int(who.cred.Uid), int(who.cred.Gid)); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot hand over the secrets: %w", err), shred(dir))
		}
	}
	return []string{"CREDENTIALS_DIRECTORY=" + dir, "DSAT_SECRETS=" + dir}, nil
}

func deposit(dir string, c *topology.Secret, who identity) error {
	value, err := fetch(c)
	if err != nil {
		return err
	}
	defer clear(value)
	f, err := os.OpenFile(filepath.Join(dir, c.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	if err == nil && who.cred != nil {
		err = f.Chown(int(who.cred.Uid), int(who.cred.Gid))
	}
	return errors.Join(err, f.Close())
}

// fetch reads a value from where it is. No error holds any of it.
func fetch(c *topology.Secret) ([]byte, error) {
	if c.Env != "" {
		v, ok := os.LookupEnv(c.Env)
		if !ok {
			return nil, fmt.Errorf("dsatd was started without the variable %s", c.Env)
		}
		return []byte(v), nil
	}
	f, err := os.OpenFile(c.File, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe must not hold it up
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", c.File)
	case info.Mode().Perm()&0o027 != 0:
		return nil, fmt.Errorf("%s is open to others (mode %04o): chmod 0600 it", c.File, info.Mode().Perm())
	case info.Size() > secretLimit:
		return nil, fmt.Errorf("%s has %d bytes, more than %d", c.File, info.Size(), secretLimit)
	}
	return io.ReadAll(io.LimitReader(f, secretLimit))
}

// vault is the directory of all secrets that processes of a user can reach: in the run directory where that is in memory and the user
// is dsatd's own, else in the machine's shared memory, else, for dsatd's own user, in the run directory on its disk.
func (s *Supervisor) vault(who identity) (string, error) {
	own := filepath.Join(s.runDir, "secrets")
	if who.cred == nil && (inMemory(s.runDir) || !inMemory(sharedMem)) {
		return own, safeDir(own)
	}
	if !inMemory(sharedMem) {
		return "", fmt.Errorf("%s is not in memory, and the run directory is closed to another user", sharedMem)
	}
	dir := s.sharedVault()
	return dir, safeDir(dir)
}

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
	for _, vault := range []string{filepath.Join(s.runDir, "secrets"), s.sharedVault()} {
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
	for _, sat := range t.Satellites {
		for _, c := range sat.Secrets {
			if c.Env != "" {
				names[c.Env] = true
			}
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
	for _, dir := range []string{filepath.Join(s.runDir, "secrets", name), filepath.Join(s.sharedVault(), name)} {
		if err := shred(dir); err != nil {
			s.log.Error("cannot remove secrets", "directory", dir, "error", err)
		}
	}
}
