package cmd_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// limitable asks dsatd whether it could limit memory, processors, disks and processes here.
func limitable() bool {
	dir, err := os.MkdirTemp("", "dsat-limits")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "dsat.toml")
	const text = "dsat = 1\n[satellite.x]\ncommand = \"true\"\nlimits = { memory = \"1GiB\", cpu = 1.0, io_weight = 100, pids = 100 }\n"
	if os.WriteFile(file, []byte(text), 0o600) != nil {
		return false
	}
	return exec.Command(filepath.Join(binaries, "dsatd"), "check", file).Run() == nil
}

// removeGroups takes away the control groups that a dsatd which was killed has left. Those it has killed take a moment to be gone.
func removeGroups(runDir string) {
	sum := sha256.Sum256([]byte(runDir))
	name := "dsat-*-" + hex.EncodeToString(sum[:4])
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // nothing there, nothing to remove
	own, _ := os.ReadFile("/proc/self/cgroup")
	_, path, _ := strings.Cut(string(own), "0::")
	path, _, _ = strings.Cut(path, "\n")
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 5 || !strings.Contains(line, " - cgroup2 ") {
			continue
		}
		for _, base := range []string{f[4], filepath.Join(f[4], path), filepath.Join(f[4], filepath.Dir(path))} {
			trees, _ := filepath.Glob(filepath.Join(base, name))
			for _, tree := range trees {
				for end := time.Now().Add(5 * time.Second); !removeTree(tree) && time.Now().Before(end); {
					time.Sleep(10 * time.Millisecond) // between two looks at those that end
				}
			}
		}
	}
}

// removeTree removes a directory of directories; its files are the kernel's.
func removeTree(dir string) bool {
	below, _ := os.ReadDir(dir)
	for _, d := range below {
		if d.IsDir() {
			removeTree(filepath.Join(dir, d.Name()))
		}
	}
	err := os.Remove(dir)
	return err == nil || errors.Is(err, fs.ErrNotExist)
}
