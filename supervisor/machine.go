package supervisor

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// Missing tells, a sentence each, which programs of a topology are not there or cannot be executed, as far as that can be told before
// they are. A program may still appear, so nothing is refused for it.
func Missing(t *topology.Topology) []string {
	var all []string
	for _, s := range t.Satellites {
		for _, argv := range [][]string{s.Command, s.Stop.Command} {
			if len(argv) == 0 || strings.Contains(argv[0], "${") {
				continue
			}
			if err := executable(s, argv[0]); err != nil {
				all = append(all, fmt.Sprintf("%s: %v", s.Name, err))
			}
		}
		if strings.HasPrefix(s.Plugin, "/") {
			if err := executable(s, s.Plugin); err != nil {
				all = append(all, fmt.Sprintf("%s: %v", s.Name, err))
			}
		}
	}
	return all
}

func executable(s *topology.Satellite, name string) error {
	if !strings.Contains(name, "/") {
		env := inherited()
		for key, v := range s.Env {
			env = setenv(env, key, v)
		}
		_, err := lookPath(name, env)
		if err != nil && len(s.EnvFile) > 0 {
			return nil // its PATH may be in there
		}
		return err
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return fmt.Errorf("cannot execute %s: %w", name, cause(err))
	case info.IsDir():
		return fmt.Errorf("cannot execute %s: it is a directory", name)
	case info.Mode()&0o111 == 0 || unix.Access(name, unix.X_OK) != nil:
		return fmt.Errorf("cannot execute %s: it is not executable (chmod +x)", name)
	}
	return nil
}

// Delegated tells whether there is a control group to divide (want is daemon.cgroup), or why not.
func Delegated(want string) (dir string, err error) { return delegated(want) }

// Kernel tells which of the calls the supervisor is built on this kernel does not have; an empty list is good.
func Kernel() (missing []string) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		missing = append(missing, "pidfd_open (Linux 5.3): processes of a dsatd that was killed cannot be taken back")
	} else {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		if err := unix.IoctlPidfdInfo(fd, &info); err != nil {
			missing = append(missing, "PIDFD_GET_INFO (Linux 6.13): how such a process ended is often unknown")
		}
		_ = unix.Close(fd)
	}
	if err := unix.CloseRange(1<<30, 1<<30, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		missing = append(missing, "close_range (Linux 5.11): descriptors dsatd has inherited may leak into children")
	}
	if fd, err := unix.MemfdCreate("dsat", unix.MFD_CLOEXEC); err != nil {
		missing = append(missing, "memfd_create (Linux 3.17): no upgrade in place")
	} else {
		_ = unix.Close(fd)
	}
	return missing
}
