package topology

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// Sample is a commented topology to start from.
func Sample() []byte { return slices.Clone(sample) }
