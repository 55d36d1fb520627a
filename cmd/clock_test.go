package cmd_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// A machine's clock cannot be set for one process, and a test must not set it for all. But a program reads it in one place, the
// runtime's, so a dsatd is built whose package time adds what stands in a file: only the clock on the wall moves, the monotonic one and
// all timers go on, as after settimeofday(2). What stays as it was is the kernel's own clock: times of files, and what other programs see.
const (
	clockRead = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	clockSet  = "\tsec, nsec, mono := runtimeNow()\n\tif setBy != nil {\n\t\tsec += *setBy\n\t}\n\tif mono == 0 {"
	unsafely  = "\t_ \"unsafe\" // for go:linkname\n"
	imports   = "\t\"syscall\"\n\t\"unsafe\" // for go:linkname too\n"
	setBy     = `
// setBy is by how many seconds the clock on the wall was set: what stands in the file that SET_CLOCK names, an int64. It is memory,
// because the time is asked for where no system call can be made.
var setBy = func() *int64 {
	name, ok := syscall.Getenv("SET_CLOCK")
	if !ok {
		return nil
	}
	fd, err := open(name)
	if err != nil {
		return nil
	}
	defer closefd(fd)
	mem, err := syscall.Mmap(int(fd), 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	return (*int64)(unsafe.Pointer(&mem[0]))
}()
`
)

// settable builds a dsatd whose clock on the wall can be set by a file, once for all stories: settable PATH
func settable(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: settable PATH")
	}
	building.Lock()
	defer building.Unlock()
	made := filepath.Join(binaries, "settable")
	if _, err := os.Stat(made); err != nil {
		ts.Check(buildSettable(made))
	}
	ts.Check(os.Link(made, ts.MkAbs(args[0])))
}

func buildSettable(made string) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	path := filepath.Join(strings.TrimSpace(string(root)), "src/time/time.go")
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := string(source)
	for _, change := range [][2]string{{clockRead, clockSet}, {unsafely, imports}} {
		if strings.Count(text, change[0]) != 1 {
			return &os.PathError{Op: "change", Path: path, Err: os.ErrInvalid} // another Go: the words above are to be found anew
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	changed, overlay := made+".go", made+".json"
	words, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return err
	}
	for name, content := range map[string]string{changed: text + setBy, overlay: string(words)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return err
		}
	}
	out, err := exec.Command("go", "build", "-overlay", overlay, "-o", made, "./dsatd").CombinedOutput()
	if err != nil {
		return &exec.Error{Name: "go build: " + string(out), Err: err}
	}
	return nil
}
