package topology

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Limits of includes.
const (
	maxInclude = 8       // nesting
	maxFiles   = 64      // read by one Load
	maxTotal   = 4 << 20 // bytes of them together
)

// Options is what Load needs to know of the world.
type Options struct {
	Name           string                                                    // of a topology whose files say none; "": the first file's stem
	Getenv         func(string) (string, bool)                               // for ${NAME}; nil is os.LookupEnv
	Builtins       []string                                                  // names of the built-in satellites; nil: any name is taken
	BuiltinOptions func(name string, options map[string]any) error           // checks the options of a built-in; may be nil
	Condition      func(text string, key bool) (off int, wrong, hint string) // checks an expression, of a key or a condition; wrong "": it is right; may be nil
	Limits         func(cgroup string, controllers []string) error           // tells why limits cannot be enforced here; nil: not asked
}

// Load reads a topology from one file and its overlays (a later one wins, key by key), with what they include. The error is
// *Problems: everything that is wrong at once, except that a file with a syntax error is not read further.
func Load(files []string, opt Options) (*Topology, error) {
	l := newLoader(opt)
	t, _, err := l.finish(l.files(files))
	return t, err
}

func newLoader(opt Options) *loader {
	if opt.Getenv == nil {
		opt.Getenv = os.LookupEnv
	}
	return &loader{opt: opt, root: language(), done: map[string]*setting{}}
}

// files reads and merges files, later ones over earlier.
func (l *loader) files(files []string) (merged *setting) {
	if len(files) == 0 {
		l.problems.add(place{}, "`dsatd init` writes a topology to start from", "no topology is named")
	}
	for _, name := range files {
		abs, err := filepath.Abs(name)
		if err != nil {
			abs = name
		}
		merged = merge(merged, l.file(name, abs, place{off: -1}, nil))
	}
	return merged
}

// finish makes the value of what was read. said is what stood in the files about each satellite.
func (l *loader) finish(merged *setting) (t *Topology, said map[string]*setting, err error) {
	if merged == nil || len(l.sources) == 0 {
		return nil, nil, l.problems.err()
	}
	t, said = l.build(merged)
	if err := l.problems.err(); err != nil {
		return nil, nil, err
	}
	return t, said, nil
}

// loader is one Load at work.
type loader struct {
	opt      Options
	root     *key
	problems collector
	sources  []*source
	done     map[string]*setting // by real path: a file is read once, and its problems reported once
	bytes    int                 // of sources
	broken   bool                // a file could not be read whole: what is missing may stand in it
}

// file reads one file and what it includes, and merges them. from is the include that asks for it, stack the files that
// wait for it.
func (l *loader) file(shown, path string, from place, stack []string) *setting {
	real := samePath(path)
	for _, s := range stack {
		if s == real {
			l.broken = true
			l.problems.add(from, "", "includes come back to %s: %s", shown, strings.Join(append(shortNames(stack), filepath.Base(real)), " -> "))
			return nil
		}
	}
	if s, ok := l.done[real]; ok {
		return s
	}
	if len(stack) > maxInclude || len(l.sources) >= maxFiles || l.bytes > maxTotal {
		l.broken = true
		l.problems.add(from, "", "%s is not read: includes go %d levels deep, and are %d files and %s at most", shown, maxInclude, maxFiles, sizeText(maxTotal))
		return nil
	}
	src, err := readSource(shown, path, len(l.sources))
	if err != nil {
		l.broken = true
		if from.src == nil {
			from = place{&source{shown: shown, rank: len(l.sources)}, -1}
			l.problems.add(from, openHint(err), "cannot be read: %v", reason(err))
		} else {
			l.problems.add(from, openHint(err), "cannot read %s: %v", shown, reason(err))
		}
		return nil
	}
	l.sources = append(l.sources, src)
	l.bytes += len(src.text)
	n, err := parse(src)
	if err != nil {
		l.broken = true
		var bad *syntaxError
		errors.As(err, &bad)
		l.problems.add(place{src, bad.off}, bad.hint, "%s", bad.text)
		l.done[real] = nil
		return nil
	}
	r := &reader{src: src, problems: &l.problems, getenv: l.opt.Getenv, builtins: l.opt.Builtins, condition: l.opt.Condition}
	own := r.table(l.root, n)
	var under *setting
	if inc := own.find("include"); inc != nil {
		paths, _ := inc.value.([]string)
		for i, p := range paths {
			under = merge(under, l.file(relative(src, p), p, inc.item(i), append(stack, real)))
		}
	}
	out := merge(under, own)
	l.done[real] = out
	return out
}

// relative shows an included path as its including file would.
func relative(src *source, path string) string {
	rel, err := filepath.Rel(filepath.Dir(src.path), path)
	if err != nil {
		return path
	}
	return filepath.Join(filepath.Dir(src.shown), rel)
}

func shortNames(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, filepath.Base(p))
	}
	return out
}

// readSource reads a regular file of at most maxSize bytes; anything else could be endless.
func readSource(shown, path string, rank int) (*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errors.New("is a directory")
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("is larger than %s, which no topology is", sizeText(maxSize))
	}
	return newSource(shown, path, rank, text), nil
}

// reason is the cause without the operation and the path, which the message names itself.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func openHint(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "`dsatd init` writes a topology to start from"
	}
	return ""
}

// samePath is the one name of a file, for finding includes that come back to themselves.
func samePath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
