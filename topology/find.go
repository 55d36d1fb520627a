package topology

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// FileName is the file that is looked for when none is named.
const FileName = "dsat.toml"

// Find returns the path of the first dsat.toml in dir or the directories above it.
func Find(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot look for %s: %w", FileName, err)
	}
	for at := start; ; at = filepath.Dir(at) {
		path := filepath.Join(at, FileName)
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Mode().IsRegular():
			return path, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("cannot look for %s: %w", FileName, err)
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("cannot find %s in %s or above: name a file, or write one with `dsatd init`", FileName, start)
		}
	}
}

//go:embed sample.toml
var sample []byte

// Sample is a commented topology to start from. It is named after the folder it will stand in, so that two projects do
// not meet in one run directory.
func Sample(folder string) []byte {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '-'
	}, strings.ToLower(filepath.Base(folder)))
	name = strings.TrimLeft(name, "-_")
	if name == "" {
		name = "dsat"
	}
	line := fmt.Sprintf("dsat = 1\nname = %q", name[:min(len(name), 63)])
	return bytes.Replace(sample, []byte("dsat = 1"), []byte(line), 1)
}
