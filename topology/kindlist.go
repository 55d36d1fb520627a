package topology

import (
	"fmt"
	"strings"
)

// strings reads a string or a list of strings, each expanded; the nodes go with them for later messages.
func (r *reader) strings(k *key, n *node, instance bool) (texts []string, at []*node, ok bool) {
	list := n.items
	if n.shape != shapeArray {
		list = []*node{n}
	}
	ok = true
	for _, c := range list {
		if _, isText := c.scalar.(string); !isText {
			r.mistyped(k, c)
			ok = false
			continue
		}
		s, fine := r.text(c, instance)
		ok = ok && fine
		texts, at = append(texts, s), append(at, c)
	}
	return texts, at, ok
}

func quoteAll(list []string, instance bool) string {
	var out []string
	for _, s := range list {
		out = append(out, quote(s, instance))
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// commandKind is an argv: a string split into words, or a list. Element 0 is absolute when it contained a slash.
type commandKind struct{}

func (commandKind) typ() string       { return "string or list" }
func (commandKind) wants(*key) string { return "a string or a list of strings" }
func (t commandKind) read(r *reader, k *key, n *node) (any, bool) {
	var argv []string
	if line, ok := n.scalar.(string); ok {
		if argv, ok = r.words(n, line); !ok {
			return nil, false
		}
	} else {
		if n.shape != shapeArray {
			r.mistyped(k, n)
			return nil, false
		}
		var ok bool
		if argv, _, ok = r.strings(k, n, true); !ok {
			return nil, false
		}
		if len(argv) == 0 || argv[0] == "" {
			r.problem(n.at, "the first element is the program", "%s names no program", k.label)
			return nil, false
		}
	}
	if strings.Contains(argv[0], "/") {
		path, ok := r.path(n, argv[0])
		if !ok {
			return nil, false
		}
		argv[0] = path
	}
	return argv, true
}
func (commandKind) format(v any) string { return quoteAll(v.([]string), true) }

// words splits a command line and expands each word, so that a value with blanks stays one word.
func (r *reader) words(n *node, line string) ([]string, bool) {
	list, f := words(line)
	if f == nil {
		f = program(list[0])
	}
	if f != nil {
		r.flaw(n, f)
		return nil, false
	}
	var argv []string
	for _, w := range list {
		s, f := expand(w.text, true, r.getenv)
		if f == nil && strings.ContainsRune(s, 0) {
			f = &flaw{0, "a string cannot hold a NUL", ""}
		}
		if f != nil {
			f.off = w.off
			r.flaw(n, f)
			return nil, false
		}
		argv = append(argv, s)
	}
	if argv[0] == "" {
		r.flaw(n, &flaw{0, "the command names no program", "its first word is empty"})
		return nil, false
	}
	return argv, true
}

// pluginKind is the name of a built-in satellite, or the path of an executable.
type pluginKind struct{}

func (pluginKind) typ() string       { return "name or path" }
func (pluginKind) wants(*key) string { return `the name of a built-in satellite or a path like "./x"` }
func (t pluginKind) read(r *reader, k *key, n *node) (any, bool) {
	text, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	name := text.(string)
	if strings.Contains(name, "/") {
		return r.path(n, name)
	}
	if !validName(name) {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(name))
		return nil, false
	}
	for _, b := range r.builtins {
		if b == name {
			return name, true
		}
	}
	if r.builtins == nil {
		return name, true
	}
	hint := didYouMean(name, r.builtins)
	if hint == "" {
		hint = fmt.Sprintf("built in are %s; a program of yours is a path: \"./%s\"", strings.Join(r.builtins, ", "), name)
	}
	r.problem(n.at, hint, "there is no built-in satellite %q", name)
	return nil, false
}
func (pluginKind) format(v any) string { return quote(v.(string), false) }

// pathsKind is a path or a list of paths, made absolute.
type pathsKind struct{}

func (pathsKind) typ() string       { return "path or list" }
func (pathsKind) wants(*key) string { return "a path or a list of paths" }
func (t pathsKind) read(r *reader, k *key, n *node) (any, bool) {
	texts, at, ok := r.strings(k, n, false)
	for i, s := range texts {
		if s == "" {
			r.problem(at[i].at, "", "%s wants a path, not an empty string", k.label)
			ok = false
			continue
		}
		p, fine := r.path(at[i], s)
		texts[i], ok = p, ok && fine
	}
	return texts, ok
}
func (pathsKind) format(v any) string { return quoteAll(v.([]string), false) }

// stepsKind is a name or a list of names of satellites.
type stepsKind struct{}

func (stepsKind) typ() string       { return "name or list" }
func (stepsKind) wants(*key) string { return "a name or a list of names" }
func (t stepsKind) read(r *reader, k *key, n *node) (any, bool) {
	texts, at, ok := r.strings(k, n, false)
	if !ok {
		return nil, false
	}
	r.distinct(k, texts, at)
	return texts, true
}
func (stepsKind) format(v any) string { return quoteAll(v.([]string), false) }

// distinct refuses what is said twice.
func (r *reader) distinct(k *key, names []string, at []*node) {
	seen := map[string]bool{}
	for i, name := range names {
		if seen[name] {
			r.problem(at[i].at, "", "%s names %q twice", k.label, shorten(name))
		}
		seen[name] = true
	}
}

// needsKind is "NAME" or "NAME:STAGE", or a list of them.
type needsKind struct{}

// The stages of a need.
const (
	StageBooted  = "booted"
	StageReady   = "ready"
	StageHealthy = "healthy"
	StageDone    = "done"
)

func (needsKind) typ() string       { return "name or list" }
func (needsKind) wants(*key) string { return `a name, "NAME:STAGE", or a list of them` }
func (t needsKind) read(r *reader, k *key, n *node) (any, bool) {
	texts, at, ok := r.strings(k, n, false)
	if !ok {
		return nil, false
	}
	var needs []Need
	for i, s := range texts {
		name, stage, has := strings.Cut(s, ":")
		if !has {
			stage = StageReady
		}
		switch stage {
		case StageBooted, StageReady, StageHealthy, StageDone:
		default:
			r.problem(at[i].at, didYouMean(stage, []string{StageBooted, StageReady, StageHealthy, StageDone}), "needs = %q: a stage is booted, ready, healthy or done, not %q", shorten(s), shorten(stage))
		}
		texts[i] = name
		needs = append(needs, Need{Name: name, Stage: stage})
	}
	r.distinct(k, texts, at)
	return needs, true
}
func (needsKind) format(v any) string {
	var out []string
	for _, n := range v.([]Need) {
		out = append(out, n.Name+":"+n.Stage)
	}
	return quoteAll(out, false)
}

// codesKind is a list of whole numbers between min and max.
type codesKind struct{}

func (codesKind) typ() string       { return "list of numbers" }
func (codesKind) wants(*key) string { return "a list of numbers like [0, 3]" }
func (t codesKind) read(r *reader, k *key, n *node) (any, bool) {
	if n.shape != shapeArray {
		r.mistyped(k, n)
		return nil, false
	}
	var out []int
	ok := true
	for _, c := range n.items {
		v, number := c.scalar.(int64)
		if !number || v < k.min || v > k.max {
			r.problem(c.at, "", "%s wants numbers from %d to %d", k.label, k.min, k.max)
			ok = false
			continue
		}
		out = append(out, int(v))
	}
	return out, ok
}
func (codesKind) format(v any) string {
	var out []string
	for _, c := range v.([]int) {
		out = append(out, fmt.Sprint(c))
	}
	return "[" + strings.Join(out, ", ") + "]"
}
