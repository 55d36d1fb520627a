package control

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// homeless clears every variable that names a directory.
func homeless(t *testing.T) {
	for _, name := range []string{EnvRunDir, EnvStateDir, "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"} {
		t.Setenv(name, "")
	}
}

func TestDirectories(t *testing.T) {
	own := t.TempDir()
	cases := []struct {
		env        map[string]string
		run, state string
	}{
		{map[string]string{EnvRunDir: "/a", EnvStateDir: "/b", "RUNTIME_DIRECTORY": "/r", "XDG_RUNTIME_DIR": own}, "/a", "/b"},
		{map[string]string{"RUNTIME_DIRECTORY": "/run/dsat:/run/x", "STATE_DIRECTORY": "/var/lib/dsat", "XDG_RUNTIME_DIR": own}, "/run/dsat/probe", "/var/lib/dsat/probe"},
		{map[string]string{"RUNTIME_DIRECTORY": "/run/dsat/probe", "STATE_DIRECTORY": "/var/lib/dsat/probe"}, "/run/dsat/probe", "/var/lib/dsat/probe"},
		{map[string]string{"XDG_RUNTIME_DIR": own, "XDG_STATE_HOME": "/s"}, own + "/dsat/probe", "/s/dsat/probe"},
	}
	for _, c := range cases {
		homeless(t)
		for name, value := range c.env {
			t.Setenv(name, value)
		}
		if run, state := RunDir("probe"), StateDir("probe"); run != c.run || state != c.state {
			t.Errorf("%v: got %s and %s, want %s and %s", c.env, run, state, c.run, c.state)
		}
	}
}

func TestUnusableRuntimeDirIsPassedOver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", "relative", "/nowhere/at/all", file, "/run/user/0"} {
		homeless(t)
		t.Setenv("XDG_RUNTIME_DIR", dir)
		if run := RunDir("probe"); run != "/run/dsat/probe" && run != fmt.Sprintf("/tmp/dsat-%d/probe", os.Getuid()) {
			t.Errorf("XDG_RUNTIME_DIR=%q: got %s", dir, run)
		}
	}
}

func TestFind(t *testing.T) {
	homeless(t)
	home := shortDir(t)
	t.Setenv("XDG_RUNTIME_DIR", home)
	listen := func(name string) net.Listener {
		dir := filepath.Join(home, "dsat", name)
		if err := MakeDir(dir); err != nil {
			t.Fatal(err)
		}
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, SocketName)})
		if err != nil {
			t.Fatal(err)
		}
		listener.SetUnlinkOnClose(false)
		return listener
	}
	defer listen("probe").Close()
	listen("dead").Close()
	if err := MakeDir(filepath.Join(home, "dsat", "empty")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "dsat", "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	var here []Found
	for _, f := range all {
		if strings.HasPrefix(f.RunDir, home) {
			here = append(here, f)
		}
	}
	found := func(name string) Found {
		dir := filepath.Join(home, "dsat", name)
		return Found{Name: name, RunDir: dir, Socket: filepath.Join(dir, SocketName)}
	}
	dead, probe := found("dead"), found("probe")
	probe.Alive, probe.PID = true, os.Getpid()
	if diff := cmp.Diff([]Found{dead, probe}, here); diff != "" {
		t.Error(diff)
	}
}

func TestMakeDirTrustsNobody(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := MakeDir(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("one that anybody may write to was taken: %v", err)
	}
}

func TestCheckSocket(t *testing.T) {
	for length, ok := range map[int]bool{1: true, 107: true, 108: false} {
		path := "/" + strings.Repeat("x", length-1)
		if err := CheckSocket(path); (err == nil) != ok {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}
