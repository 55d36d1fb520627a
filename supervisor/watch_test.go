package supervisor

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

func watching(path string, ignore ...string) *topology.Satellite {
	s := satelliteOf("a", "pause", "")
	s.Watch = topology.Watch{Paths: []string{path}, Ignore: ignore, Debounce: time.Millisecond, Action: topology.WatchRestart}
	return s
}

func put(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// again waits until the instance runs in another life.
func (r *rig) again(after topology.Incarnation) topology.Incarnation {
	r.t.Helper()
	return r.until(ref("a", 0), "running again", func(st InstanceStatus) bool { return st.State == Running && st.Inc > after }).Inc
}

// Whatever way a file is changed: written, replaced as editors do, removed with its directory and made again, appearing late.
func TestWatchedFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conf")
	file := filepath.Join(dir, "sub", "app.toml")
	r := start(t, []*topology.Satellite{watching(file)}) // nothing of it is there yet
	must(t, r.Boot(context.Background()))
	inc := r.status(ref("a", 0)).Inc
	for _, change := range []func(){
		func() { must(t, os.MkdirAll(filepath.Dir(file), 0o700)); put(t, file) },
		func() { put(t, file) },
		func() { put(t, file+".tmp"); must(t, os.Rename(file+".tmp", file)) },
		func() { must(t, os.Remove(file)) },
		func() { put(t, file) },
		func() { must(t, os.RemoveAll(dir)) },
		func() { must(t, os.MkdirAll(filepath.Dir(file), 0o700)); put(t, file) },
		func() {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.MkdirAll(filepath.Dir(file), 0o700))
			put(t, file)
		},
		func() { put(t, file) },
	} {
		change()
		inc = r.again(inc)
		r.quiet()
	}
}

// quiet waits until nothing is seen and not acted upon, so that the next change is told from this one.
func (r *rig) quiet() {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		r.eyes.mu.Lock()
		n, _ := unix.IoctlGetInt(r.eyes.fd, unix.TIOCINQ)
		still := n == 0 && r.eyes.watches[0].first.IsZero()
		r.eyes.mu.Unlock()
		if st := r.status(ref("a", 0)); still && st.State == Running {
			return
		}
	}
}

// A tree: also directories that come later; what is ignored does not count; an overflow does.
func TestWatchedTrees(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "build"), 0o700))
	r := start(t, []*topology.Satellite{watching(dir, "build", "*.log")})
	must(t, r.Boot(context.Background()))
	inc := r.status(ref("a", 0)).Inc
	r.eyes.mu.Lock()
	w := r.eyes.watches[0]
	for _, path := range []string{"build/x", "a/b.log", ".git/index", "x.swp"} {
		r.eyes.seen(filepath.Join(dir, path), unix.IN_CLOSE_WRITE)
		if !w.first.IsZero() {
			t.Error(path, "counts")
		}
	}
	r.eyes.mu.Unlock()
	must(t, os.MkdirAll(filepath.Join(dir, "later", "deep"), 0o700))
	inc = r.again(inc)
	r.quiet()
	put(t, filepath.Join(dir, "later", "deep", "x.go"))
	inc = r.again(inc)
	r.quiet()
	lost := make([]byte, unix.SizeofInotifyEvent)
	binary.NativeEndian.PutUint32(lost[4:], unix.IN_Q_OVERFLOW)
	r.eyes.mu.Lock()
	if !r.eyes.events(lost) {
		t.Error("nothing is looked at again")
	}
	r.eyes.mu.Unlock()
	r.again(inc)
}

// A signal in place of a restart, and a watch that comes and goes with a change of the topology.
func TestWatchesFollowTheTopology(t *testing.T) {
	dir := t.TempDir()
	r := booted(t, satelliteOf("a", "count", ""))
	pid := r.status(ref("a", 0)).PID
	with := satelliteOf("a", "count", "")
	with.Watch = topology.Watch{Paths: []string{dir}, Debounce: time.Millisecond, Action: topology.WatchSignal, Signal: unix.SIGUSR2}
	if _, err := r.apply(r.another(with), ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if now := r.status(ref("a", 0)).PID; now != pid {
		t.Error("a watch is no reason for a restart")
	}
	r.line(ref("a", 0), "n ") // now it heeds the signal
	put(t, filepath.Join(dir, "x"))
	if st := r.until(ref("a", 0), "signalled", func(st InstanceStatus) bool { return st.Restarts == 1 }); st.LastExit != "exit code 5" {
		t.Errorf("%+v", st)
	}
	if _, err := r.apply(r.another(satelliteOf("a", "count", "")), ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	r.eyes.mu.Lock()
	defer r.eyes.mu.Unlock()
	if len(r.eyes.dirs) > 0 {
		t.Error("still watched:", r.eyes.dirs)
	}
}
