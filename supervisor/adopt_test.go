package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
)

// adoptees are the satellites of the daemon that dies and of the one that follows.
func adoptees() []*topology.Satellite {
	count, family := satelliteOf("count", "count", ""), satelliteOf("family", "family", "child,daemon")
	family.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "complete", Deadline: 30 * time.Second}
	changed, replaced := satelliteOf("changed", "pause", ""), satelliteOf("replaced", "pause", "")
	all := list(count, family, changed, replaced)
	for _, s := range all {
		s.OnDaemonDeath = topology.Adopt
		s.Stop.Deadline = time.Second
	}
	replaced.OnDaemonDeath = topology.Replace
	return all
}

func earlierAdopted(run string) {
	self, _ := os.Executable()
	all := adoptees()
	for _, s := range all {
		s.Command[0] = self
	}
	s, err := New(Config{
		Topology: &topology.Topology{Name: "test", Dir: run, Satellites: all}, RunDir: run, Epoch: 1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = s.Run(context.Background()) }() // ends with the process
	fmt.Println("booted", s.Boot(context.Background()))
	pause()
}

// bereave starts the earlier daemon and kills it; its satellites come to us only when we are a subreaper.
func bereave(t *testing.T, run string, toUs bool) map[topology.Ref]recordEntry {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{"earlier"}, &syscall.ProcAttr{
		Env: []string{"DSAT_ACT=dsatd-adopted", "DSAT_ARG=" + run}, Files: []uintptr{0, w.Fd(), w.Fd()},
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); line != "booted <nil>\n" {
		t.Fatalf("%q %v", line, err)
	}
	subreaper := uintptr(0)
	if toUs {
		subreaper = 1
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, subreaper, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	kill9(t, pid)
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	left, _ := parseRecord(readFile(t, run+"/record"), bootID())
	lives := make(map[topology.Ref]recordEntry)
	for _, e := range left {
		lives[e.ref] = e
	}
	t.Cleanup(func() {
		for _, k := range ofRun(run) {
			shoot(k, unix.SIGKILL)
		}
	})
	return lives
}

// ofRun lists what carries the run directory in its environment.
func ofRun(run string) (all []kin) {
	pids, _ := processes()
	for _, pid := range pids {
		p, err := readStat(pid)
		if err == nil && !p.dead() && envOf(pid, "DSAT_RUN")[0] == run {
			all = append(all, p.kin)
		}
	}
	return all
}

// kill -9 of dsatd: the next one takes its processes back, and does with them whatever it can do with children.
func TestSurvivorsAreTakenBack(t *testing.T) {
	for name, toUs := range map[string]bool{"not our children": false, "our children": true} {
		t.Run(name, func(t *testing.T) {
			run := t.TempDir()
			lives := bereave(t, run, toUs)
			if len(lives) != 4 {
				t.Fatalf("%+v", lives)
			}
			sats := adoptees()
			sats[2].Env["OTHER"] = "1"
			r := start(t, sats, withRun(run), func(c *Config) { c.Epoch, c.Topology.Dir = 2, run })
			if err := r.Boot(context.Background()); err != nil {
				t.Fatal(err)
			}
			count, family := ref("count", 0), ref("family", 0)
			for _, kept := range []topology.Ref{count, family} {
				st := r.status(kept)
				if st.State != Running || st.PID != lives[kept].pid || st.Inc != lives[kept].inc || st.Restarts != 0 || !strings.Contains(st.Why, "taken back") {
					t.Errorf("%s: %+v, was %+v", kept, st, lives[kept])
				}
				if age := time.Since(st.Started); age < 0 || age > time.Minute {
					t.Errorf("%s runs for %s", kept, age)
				}
			}
			for _, gone := range []string{"changed", "replaced"} {
				if st := r.status(ref(gone, 0)); st.State != Running || st.PID == lives[ref(gone, 0)].pid || readable(lives[ref(gone, 0)].kin) {
					t.Errorf("%s: %+v", gone, st)
				}
			}
			r.contiguous(count)
			r.endsAndReturns(count, lives[count].pid)
			if res, err := r.Restart(context.Background(), []topology.Ref{family}); err != nil || res[0].Err != nil || res[0].PID == lives[family].pid {
				t.Errorf("%+v %v", res, err)
			}
			if _, err := r.Stop(context.Background(), []topology.Ref{count, family, ref("changed", 0), ref("replaced", 0)}); err != nil {
				t.Error(err)
			}
			if left := ofRun(run); len(left) > 0 {
				t.Errorf("alive after the stop: %v", left)
			}
			if left, _ := parseRecord(readFile(t, run+"/record"), bootID()); len(left) != 0 {
				t.Errorf("the record says %+v", left)
			}
		})
	}
}

func readable(k kin) bool {
	p, err := readStat(k.pid)
	return err == nil && p.kin == k && !p.dead()
}

// contiguous: nothing of what it wrote since then is missing.
func (r *rig) contiguous(who topology.Ref) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	first, next := -1, 0
	for l := range r.Follow(ctx, logs.Query{Refs: []topology.Ref{who}, Newest: 10_000}) {
		var n int
		if _, err := fmt.Sscanf(l.Text, "n %d", &n); err != nil {
			r.t.Fatalf("%q: %v", l.Text, err)
		}
		if first < 0 {
			first, next = n, n
		}
		if n != next {
			r.t.Fatalf("%d after %d", n, next-1)
		}
		if next++; next > first+100 {
			return
		}
	}
	r.t.Fatalf("%d lines only", next-first)
}

// endsAndReturns: signals reach it, its exit is noticed with its code, and it is restarted.
func (r *rig) endsAndReturns(who topology.Ref, pid int) {
	r.t.Helper()
	if res, err := r.Signal([]topology.Ref{who}, syscall.SIGUSR2); err != nil || res[0].Err != nil {
		r.t.Errorf("%+v %v", res, err)
	}
	r.until(who, "another process", func(s InstanceStatus) bool { return s.State == Running && s.PID != pid })
	deaths, err := r.Deaths([]topology.Ref{who})
	if err != nil || len(deaths) != 1 || deaths[0].PID != pid || deaths[0].Asked {
		r.t.Fatalf("%+v %v", deaths, err)
	}
	if d := deaths[0]; d.Code != 5 && d.Cause != unknownExit {
		r.t.Errorf("%+v", d)
	}
	if kernelRemembers(r.t) && deaths[0].Code != 5 {
		r.t.Errorf("the kernel tells exits to holders of a pidfd, and it was: %s", deaths[0].Cause)
	}
}

// kernelRemembers: PIDFD_GET_INFO knows exits (since Linux 6.15).
func kernelRemembers(t *testing.T) bool {
	t.Helper()
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	return unix.IoctlPidfdInfo(fd, &info) == nil
}

// A process whose number belongs to somebody else by now is not taken back, and not hit.
func TestRecycledNumbersAreNotAdopted(t *testing.T) {
	run := t.TempDir()
	self := startTime(os.Getppid())
	r, left, err := openRecord(run+"/record", slog.New(slog.DiscardHandler))
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	sat := satelliteOf("cpu", "pause", "")
	sat.Command[0], _ = os.Executable()
	sat.OnDaemonDeath = topology.Adopt
	spec := named(&topology.Topology{Dir: run}).specOf(sat)
	r.put(recordEntry{recordKey: recordKey{ref("cpu", 0), 1<<32 + 1}, kin: kin{os.Getppid(), self + 1}, spec: spec})
	r.close()
	rig := start(t, list(sat), withRun(run), func(c *Config) { c.Epoch, c.Topology.Dir = 2, run })
	if err := rig.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if st := rig.status(ref("cpu", 0)); st.PID == os.Getppid() || st.Inc.Epoch() != 2 {
		t.Errorf("%+v", st)
	}
	deaths, err := rig.Deaths([]topology.Ref{ref("cpu", 0)})
	if err != nil || len(deaths) != 1 || !strings.Contains(deaths[0].Cause, "no dsatd") {
		t.Errorf("%+v %v", deaths, err)
	}
}
