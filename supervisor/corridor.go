package supervisor

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// corridor lets another user pass through the run directory to what is his there: he may neither list it nor open what is dsatd's own.
// The directory of all run directories is opened too where it is ours (/run/dsat); what lies above is somebody else's to open.
func (s *Supervisor) corridor(who identity, below ...string) error {
	dirs := append([]string{s.runDir}, below...)
	if parent := filepath.Dir(s.runDir); filepath.Base(parent) == "dsat" && isOurs(parent) {
		dirs = append(dirs, parent)
	}
	for _, d := range dirs {
		var st unix.Stat_t
		if unix.Stat(d, &st) == nil && st.Mode&0o111 == 0o111 {
			continue // it may be open to reading too, which is not ours to change
		}
		if err := os.Chmod(d, 0o711); err != nil {
			return err
		}
	}
	if dir := who.barred(s.runDir); dir != "" {
		return fmt.Errorf("%s is closed to user %d; choose a --run-dir that he can reach", dir, who.cred.Uid)
	}
	return nil
}

func isOurs(dir string) bool {
	var st unix.Stat_t
	return unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Geteuid()
}

// letIn tells the bus of a life that is about to be, and who it will be, and opens the way to the bus to him.
func (s *Supervisor) letIn(t *topology.Satellite, ref topology.Ref, inc topology.Incarnation) (env []string, err error) {
	if s.bus == nil {
		return nil, nil
	}
	uid, gid := os.Geteuid(), os.Getegid()
	who, err := identify(t.Process)
	if err == nil && who.cred != nil {
		uid, gid = int(who.cred.Uid), int(who.cred.Gid)
	}
	env, aerr := s.bus.Admit(ref, inc, uid, gid) // in any case, for a Gone follows in any case
	if err == nil {
		err = aerr
	}
	if err == nil && t.Speaks == topology.SpeaksBus && uid != os.Geteuid() {
		if err = s.corridor(who); err != nil {
			err = fmt.Errorf("cannot let %s reach the bus: %w", ref, err)
		}
	}
	return env, err
}
