package bus

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// The form is the kernel's: what it takes it gives back, and the mode shows the mask.
func TestAccessListsAreTheKernels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	list := accessList([]int{1, 65534})
	if err := unix.Setxattr(path, aclName, list, 0); err != nil {
		t.Skip("no access lists here:", err)
	}
	back := make([]byte, 256)
	n, err := unix.Getxattr(path, aclName, back)
	if err != nil || string(back[:n]) != string(list) {
		t.Errorf("%v: %x is %x", err, list, back[:n])
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o660 {
		t.Error(info.Mode())
	}
	if err := unix.Setxattr(path, aclName, accessList(nil), 0); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Error(info.Mode())
	}
}

// Who is in: the users of what is in the topology, each once, and nobody whose satellite is gone or has become dsatd's own.
func TestAccessFollowsTheInstances(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a := access{path: path}
	if err := a.shut(); err != nil {
		t.Fatal(err)
	}
	own, b, c := os.Geteuid(), os.Geteuid()+1, os.Geteuid()+2
	all := &topology.Topology{Satellites: []*topology.Satellite{{Name: "b"}, {Name: "c"}}}
	less := &topology.Topology{Satellites: all.Satellites[1:]}
	for n, step := range []struct {
		in   *topology.Topology
		name string
		wid  int
		uid  int
		want []int
	}{
		{all, "b", 0, own, nil},
		{all, "b", 0, b, []int{b}},
		{all, "b", 1, b, []int{b}},
		{all, "c", 0, c, []int{b, c}},
		{all, "b", 0, own, []int{b, c}},
		{all, "b", 1, own, []int{c}},
		{all, "b", 0, b, []int{b, c}},
		{less, "c", 0, c, []int{c}},
		{less, "c", 0, own, nil},
	} {
		if err := a.admit(step.in, topology.Ref{Name: step.name, WID: step.wid}, Owner{step.uid, 0}); err != nil {
			t.Skip(err)
		}
		back := make([]byte, 256)
		size, err := unix.Getxattr(path, aclName, back)
		if len(step.want) == 0 { // then it is all in the mode, and no attribute
			if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
				t.Errorf("step %d: %v", n, info.Mode())
			}
			continue
		}
		var got []int
		for e := 4; err == nil && e+8 <= size; e += 8 {
			if binary.LittleEndian.Uint16(back[e:]) == aclUser {
				got = append(got, int(binary.LittleEndian.Uint32(back[e+4:])))
			}
		}
		if len(got) != len(step.want) || string(back[:size]) != string(accessList(step.want)) {
			t.Errorf("step %d: %v are in, want %v (%v)", n, got, step.want, err)
		}
	}
}

// A plugin that is another user's cannot send dsatd to a socket that is not its own.
func TestForeignPluginsServeWhereTheyShould(t *testing.T) {
	s := &Bus{cfg: Config{RunDir: "/r"}}
	ref, inc := topology.Ref{Name: "w"}, topology.NewIncarnation(7, 1)
	foreign := Owner{UID: os.Geteuid() + 1}
	dir := s.pluginDir(ref, inc)
	for addr, ok := range map[string]bool{
		dir + "/plugin1":        true,
		dir + "/./plugin1":      true,
		dir + "/../x":           false,
		dir + "/sub/x":          false,
		"/run/docker.sock":      false,
		"plugin1":               false,
		s.cfg.RunDir + "/key":   false,
		dir + "x/plugin1":       false,
		dir + "/a/../../b/sock": false,
	} {
		if err := s.vouch(ref, inc, foreign, addr); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
		if err := s.vouch(ref, inc, Owner{UID: os.Geteuid()}, addr); err != nil {
			t.Errorf("%s of one's own: %v", addr, err)
		}
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &pluginCarrier{addr: path, owner: foreign}
	if conn, err := c.dial(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "listens there, not user") {
		t.Error(conn, err)
	}
	c.owner = Owner{UID: os.Geteuid()}
	conn, err := c.dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
