package topology

import (
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Watch is what happens to a satellite when files change. The zero value is no watch.
type Watch struct {
	Paths    []string      // absolute; a directory is watched with all below it
	Ignore   []string      // patterns of base names or of paths below a watched directory
	Debounce time.Duration // quiet time after the last change before anything is done
	Action   WatchAction
	Signal   syscall.Signal // of ActSignal, and of ActReload
}

// WatchAction is what is done once the files are quiet again.
type WatchAction string

// The closed set of WatchAction.
const (
	WatchRestart WatchAction = "restart"
	WatchSignal  WatchAction = "signal"
	WatchReload  WatchAction = "reload" // a signal too: HUP unless another is said
)

// ignoredAlways are what editors and version control leave beside the files that are meant.
func ignoredAlways() []string {
	return []string{".git", ".hg", ".svn", "__pycache__", "*.swp", "*.swx", "*~", ".#*", "#*#", "4913", "*.pyc"}
}

// Ignores reports that a change of that path, relative to what is watched, does not count.
func (w *Watch) Ignores(rel string) bool {
	parts := strings.Split(rel, "/")
	for _, patterns := range [2][]string{ignoredAlways(), w.Ignore} {
		for _, pattern := range patterns {
			for i, part := range parts {
				if ok, _ := filepath.Match(pattern, part); ok {
					return true
				}
				if ok, _ := filepath.Match(pattern, strings.Join(parts[:i+1], "/")); ok {
					return true
				}
			}
		}
	}
	return false
}

func watchKeys() *key {
	watched := func(o any) string {
		if len(o.(*Satellite).Watch.Paths) == 0 {
			return "means nothing without watch.paths"
		}
		return ""
	}
	return &key{name: "watch", kind: tableKind{}, own: true, doc: `What happens when files change, once they were quiet for a moment: watch = { paths = ["src"], action = "restart" }. Files that editors leave beside others, and .git, do not count.`,
		aka: []string{"watch_files", "reload_on_change", "autoreload"}, keys: []*key{
			{name: "paths", kind: pathsKind{}, whole: true, doc: "Files, and directories with all below them, relative to this file. They need not exist yet.", aka: []string{"files", "path", "dirs"},
				field: sat(func(s *Satellite) any { return &s.Watch.Paths }), dropped: unset(func(s *Satellite) []string { return s.Watch.Paths })},
			{name: "ignore", kind: patternsKind{}, whole: true, def: "[]", applies: watched, doc: `Patterns of names ("*.log") or of paths below a watched directory ("build/*") that do not count.`, aka: []string{"exclude", "ignore_patterns"},
				field: sat(func(s *Satellite) any { return &s.Watch.Ignore })},
			{name: "debounce", kind: durationKind{}, def: `"500ms"`, min: int64(time.Millisecond), max: int64(time.Hour), applies: watched, doc: "Quiet time after the last change before anything is done. It is done after ten times as long in any case.", aka: []string{"delay", "quiet"},
				field: sat(func(s *Satellite) any { return &s.Watch.Debounce })},
			{name: "action", kind: enumKind{}, def: `"restart"`, applies: watched, choices: []choice{
				{value: "restart", doc: "one instance after the other, each ready before the next"}, {value: "signal", doc: "the signal is sent to its processes"}, {value: "reload", doc: "as signal: HUP unless another is said"},
			}, doc: "What is done. A satellite that is stopped stays stopped.", aka: []string{"do", "then"}, field: sat(func(s *Satellite) any { return &s.Watch.Action })},
			{name: "signal", kind: signalKind{}, def: `"HUP"`, applies: watched, choices: signalChoices(), doc: "The signal of the actions signal and reload.", field: sat(func(s *Satellite) any { return &s.Watch.Signal })},
		}}
}

// patternsKind is a pattern of file names or a list of them.
type patternsKind struct{}

func (patternsKind) typ() string       { return "pattern or list" }
func (patternsKind) wants(*key) string { return `a list of patterns like ["*.log", "build/*"]` }
func (patternsKind) read(r *reader, k *key, n *node) (any, bool) {
	texts, at, ok := r.strings(k, n, false)
	for i, s := range texts {
		if _, err := filepath.Match(s, ""); err != nil || s == "" {
			r.problem(at[i].at, "* stands for any characters but /, ? for one, [a-z] for one of those", "%s: %q is no pattern", k.label, shorten(s))
			ok = false
		}
	}
	return texts, ok
}
func (patternsKind) format(v any) string { return quoteAll(v.([]string), false) }

func (patternsKind) schema(*key) map[string]any { return oneOrList() }
