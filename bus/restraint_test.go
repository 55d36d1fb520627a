package bus

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPausesOutliveAKillAndNoEnd(t *testing.T) {
	s := serve(t, sat("a"), sat("b"))
	path := filepath.Join(s.cfg.RunDir, restraintName)
	for _, do := range []error{s.Pause(t.Context(), "a"), s.DrainQueue(t.Context(), "b"), s.Pause(t.Context(), "b")} {
		if do != nil {
			t.Fatal(do)
		}
	}
	dir := shortDir(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, restraintName), text, 0o600); err != nil { // as a kill leaves it
		t.Fatal(err)
	}
	next, err := New(Config{Topology: topo(sat("b"), sat("c")), RunDir: dir, Epoch: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if b := next.loop.byName["b"]; !b.paused || !b.shut || next.loop.byName["c"].paused {
		t.Errorf("paused %v, drained %v", b.paused, b.shut)
	}
	for _, name := range []string{"a", "b"} {
		if err := s.Resume(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("nothing is paused, and the file is there: %v", err)
	}
	for _, bad := range []string{"", "{", "[]"} {
		if err := os.WriteFile(filepath.Join(dir, restraintName), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		next.readRestraints() // a damaged one hurts nobody
	}
	if err := os.Chmod(s.cfg.RunDir, 0o500); err == nil && os.Getuid() != 0 {
		if err := s.Pause(t.Context(), "a"); kindOf(err) != KindUnavailable {
			t.Errorf("it cannot be written down: %v", err)
		}
		_ = os.Chmod(s.cfg.RunDir, 0o700)
	}
}
