package supervisor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dsat/dsat/topology"
)

// The word for an entry is found once, but for what can change beside the topology.
func TestShapesFollowTheTopologyAndItsFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "env")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("A=1\n")
	sat := satelliteOf("a", "pause", "")
	s := named(&topology.Topology{Dir: dir})
	word := s.specOf(sat)
	if again := s.specOf(sat); again != word || s.shapeOf(s.roster(), sat) != word {
		t.Errorf("%s became %s", word, again)
	}
	other := *sat
	other.Env = map[string]string{"B": "2"}
	if s.specOf(&other) == word {
		t.Error("another environment has the same word")
	}
	s.present.Store(newRoster(&topology.Topology{Dir: "/elsewhere"}))
	if s.specOf(sat) == word {
		t.Error("another directory has the same word")
	}
	other.EnvFile = []string{file}
	first := s.specOf(&other)
	write("A=2\n")
	if s.specOf(&other) == first {
		t.Error("another content of its env file has the same word")
	}
}

func TestFillings(t *testing.T) {
	f := filling{"${instance}", "7", "${socket.web.fd}", "3"}
	for text, want := range map[string]string{
		"": "", "plain": "plain", "$instance": "$instance", "a-${instance}-${socket.web.fd}": "a-7-3", "${other}": "${other}", "${instance": "${instance", "$${instance}": "$7",
	} {
		if got := f.Replace(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// What is asked at every spawn costs its path and nothing else.
func TestReadingAProcessAllocatesItsPathAndName(t *testing.T) {
	pid := os.Getpid()
	if n := testing.AllocsPerRun(100, func() {
		if startTime(pid) == 0 {
			t.Fatal("it was started at no time")
		}
	}); n > 5 {
		t.Errorf("%v allocations", n)
	}
}

func TestProcFilesAreReadWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, size := range []int{0, 1, 4095, 4096, 8192, 8193, 100_000} {
		want := bytes.Repeat([]byte("x"), size)
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readProcFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("of %d bytes came %d, %v", size, len(got), err)
		}
	}
	if _, err := readProcFile(path + ".gone"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if text, err := readProcFile("/proc/vmstat"); err != nil || !bytes.Contains(text, []byte("nr_free_pages ")) {
		t.Errorf("%d bytes of vmstat, %v", len(text), err)
	}
}
