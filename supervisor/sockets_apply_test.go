package supervisor

import (
	"net"
	"strings"
	"testing"

	"github.com/dsat/dsat/topology"
)

// TestApplySockets: a socket that is added is opened, one whose address changes is moved with those that have it, one that is removed is
// closed, and one that changes otherwise stays open, with the same processes.
func TestApplySockets(t *testing.T) {
	dir, mode := t.TempDir(), uint32(0o600)
	unixSocket := func(name, file string, backlog int) *topology.Socket {
		return &topology.Socket{Name: name, Listen: "unix://" + dir + "/" + file, Start: topology.StartAlways, Backlog: backlog, Mode: &mode}
	}
	site := func(name string, sockets ...string) *topology.Satellite {
		s := satelliteOf(name, "answer", "")
		s.Sockets = sockets
		return s
	}
	r := start(t, []*topology.Satellite{site("stays", "same"), site("moves", "moved"), site("leaves", "gone")},
		withSockets(unixSocket("same", "same", 5), unixSocket("moved", "old", 5), unixSocket("gone", "gone", 5)))
	r.booted()
	before := r.roster().topology
	stays := r.status(ref("stays", 0)).PID
	lazy := unixSocket("lazy", "lazy", 5)
	lazy.Start = topology.StartOnDemand
	next := *before
	next.Sockets = []*topology.Socket{unixSocket("same", "same", 77), unixSocket("moved", "new", 5), unixSocket("added", "added", 5), lazy}
	next.Satellites = []*topology.Satellite{before.Satellite("stays"), before.Satellite("moves"), site("comes", "added"), site("sleeps", "lazy")}
	for _, s := range next.Satellites { // of the rig's own binary
		s.Command = before.Satellites[0].Command
	}
	plan := topology.Diff(before, &next)
	if len(plan.Refused) > 0 {
		t.Fatalf("refused: %+v", plan.Refused)
	}
	if _, err := r.Apply(t.Context(), plan, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if r.status(ref("stays", 0)).PID != stays {
		t.Error("what has the same address was started anew")
	}
	for name, want := range map[string]string{"same": "stays:0 ", "new": "moves:0 ", "added": "comes:0 ", "lazy": "sleeps:0 "} {
		if name == "lazy" && r.status(ref("sleeps", 0)).State != Stopped {
			t.Error("it did not wait for its first connection")
		}
		if got := ask(t, "unix", dir+"/"+name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: answer %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"old", "gone"} {
		if c, err := net.Dial("unix", dir+"/"+name); err == nil {
			c.Close()
			t.Errorf("somebody listens on %s still", name)
		}
	}

	// A change that fails leaves what was, and nobody lost the old address.
	bad := next
	bad.Sockets = append([]*topology.Socket{unixSocket("same", "same", 77), unixSocket("moved", "no/../../../proc/none/x", 5)}, next.Sockets[2:]...)
	bad.Sockets[1].Listen = "unix:///proc/none/x"
	if got, err := r.Apply(t.Context(), topology.Diff(&next, &bad), ApplyOptions{}); err == nil || !got.Back {
		t.Errorf("%+v, %v", got, err)
	}
	if got := ask(t, "unix", dir+"/new"); !strings.HasPrefix(got, "moves:0 ") {
		t.Errorf("answer %q", got)
	}
	reused := next
	reused.Sockets = append([]*topology.Socket{unixSocket("same", "same", 77)}, next.Sockets[1:]...)
	reused.Sockets[0].PerInstance = true
	if plan := topology.Diff(&next, &reused); len(plan.Refused) != 1 {
		t.Errorf("it is not refused: %+v", plan)
	}
}
