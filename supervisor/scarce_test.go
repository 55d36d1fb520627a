package supervisor

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// The kernel has no memory, or no number left, for a process: it is said in words, tried again with back-off, and works when there is room;
// nothing leaks meanwhile, neither a pipe nor the reaper's patience with a fork.
func TestForkFails(t *testing.T) {
	for name, c := range map[string]struct {
		errno syscall.Errno
		says  string
	}{"no memory": {unix.ENOMEM, "cannot allocate memory"}, "too many": {unix.EAGAIN, "resource temporarily unavailable"}} {
		t.Run(name, func(t *testing.T) {
			s := satelliteOf("x", "pause", "")
			s.Restart.Backoff = topology.Backoff{Initial: time.Millisecond, Factor: 1, Max: time.Millisecond}
			s.Restart.Limit = 0
			r := start(t, list(s))
			var failing atomic.Bool
			failing.Store(true)
			var asked atomic.Int64
			r.forkExec = func(path string, argv []string, attr *syscall.ProcAttr) (int, error) {
				if failing.Load() {
					asked.Add(1)
					return 0, c.errno
				}
				return syscall.ForkExec(path, argv, attr)
			}
			before := openDescriptors(t)
			r.find(ref("x", 0)).post(event{kind: evStart})
			st := r.until(ref("x", 0), "tried often", func(st InstanceStatus) bool { return st.Restarts > 20 })
			if !strings.Contains(st.LastExit, c.says) || st.PID != 0 {
				t.Errorf("%+v", st)
			}
			failing.Store(false)
			if err := r.Boot(context.Background()); err != nil {
				t.Fatal(err)
			}
			if res, err := r.Stop(context.Background(), []topology.Ref{ref("x", 0)}); err != nil || res[0].State != Stopped {
				t.Fatal(res, err)
			}
			if after := openDescriptors(t); after > before+5 || asked.Load() < 20 {
				t.Errorf("%d descriptors, %d before; asked %d times", after, before, asked.Load())
			}
		})
	}
}

func openDescriptors(t *testing.T) int {
	all, err := names("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
