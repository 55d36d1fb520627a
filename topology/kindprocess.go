package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unset and unsaid leave out of the effective file what was never said: a nil list, a nil pointer.
func unset[T any](get func(*Satellite) []T) func(owner, v any) bool {
	return func(o, _ any) bool { return get(o.(*Satellite)) == nil }
}

func unsaid[T any](get func(*Satellite) *T) func(owner, v any) bool {
	return func(o, _ any) bool { return get(o.(*Satellite)) == nil }
}

// optionalKind is a whole number that may be absent, which is not the same as 0: a *int.
type optionalKind struct{ wholeKind }

func (o optionalKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := o.wholeKind.read(r, k, n)
	if !ok {
		return nil, false
	}
	i := int(v.(int64))
	return &i, true
}
func (optionalKind) format(v any) string { return strconv.Itoa(*v.(*int)) }

// umaskKind is a file mode mask as octal digits in a string: a bare number would be read as decimal by some and octal by others.
type umaskKind struct{}

func (umaskKind) typ() string       { return "octal digits" }
func (umaskKind) wants(*key) string { return `octal digits like "027"` }
func (u umaskKind) read(r *reader, k *key, n *node) (any, bool) {
	if unitless(n) {
		r.problem(n.at, "write it as a string", "%s wants %s: a bare number may be meant decimal or octal", k.label, u.wants(k))
		return nil, false
	}
	text, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	v, err := strconv.ParseUint(text.(string), 8, 32)
	if err != nil || v > 0o777 || len(text.(string)) > 4 {
		r.problem(n.at, "", "%s wants %s from 000 to 777, not %q", k.label, u.wants(k), shorten(text.(string)))
		return nil, false
	}
	mask := uint32(v)
	return &mask, true
}
func (umaskKind) format(v any) string { return fmt.Sprintf(`"%03o"`, *v.(*uint32)) }

// accountKind is a user or a group: a name, or a number.
type accountKind struct{}

func (accountKind) typ() string       { return "name or number" }
func (accountKind) wants(*key) string { return "a name or a number" }
func (a accountKind) read(r *reader, k *key, n *node) (any, bool) {
	if v, number := n.scalar.(int64); number {
		if v < 0 || v >= 1<<32-1 {
			r.problem(n.at, "", "%s wants a number from 0 to %d, not %d", k.label, uint32(1<<32-2), v)
			return nil, false
		}
		return strconv.FormatInt(v, 10), true
	}
	text, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	s := text.(string)
	if v, err := strconv.ParseUint(s, 10, 64); err == nil && v >= 1<<32-1 || s == "" || strings.HasPrefix(s, "-") || strings.ContainsAny(s, " \t\n:,/") {
		r.problem(n.at, "", "%s wants %s, not %q", k.label, a.wants(k), shorten(s))
		return nil, false
	}
	return s, true
}
func (accountKind) format(v any) string { return quote(v.(string), false) }

// accountsKind is a list of accounts; an empty one is not the same as none.
type accountsKind struct{}

func (accountsKind) typ() string       { return "list of names or numbers" }
func (accountsKind) wants(*key) string { return `a list of names or numbers like ["audio", 44]` }
func (accountsKind) read(r *reader, k *key, n *node) (any, bool) {
	if n.shape != shapeArray {
		r.mistyped(k, n)
		return nil, false
	}
	out, all := []string{}, true
	for _, c := range n.items {
		v, ok := accountKind{}.read(r, k, c)
		if all = all && ok; ok {
			out = append(out, v.(string))
		}
	}
	r.distinct(k, out, n.items)
	return out, all
}
func (accountsKind) format(v any) string { return quoteAll(v.([]string), false) }

// capabilitiesKind is a list of capabilities of the kernel; an empty one is not the same as none.
type capabilitiesKind struct{}

func (capabilitiesKind) typ() string       { return "list of names" }
func (capabilitiesKind) wants(*key) string { return `a list of capabilities like ["net_bind_service"]` }
func (capabilitiesKind) read(r *reader, k *key, n *node) (any, bool) {
	if n.shape != shapeArray {
		r.mistyped(k, n)
		return nil, false
	}
	texts, at, ok := r.strings(k, n, false)
	if !ok {
		return nil, false
	}
	for i, s := range texts {
		if upper, has := strings.CutPrefix(s, "CAP_"); has {
			texts[i] = strings.ToLower(upper)
		}
		if known := CapabilityNames(); !slices.Contains(known, texts[i]) {
			r.problem(at[i].at, didYouMean(texts[i], known), "%s: there is no capability %q", k.label, shorten(s))
			ok = false
		}
	}
	r.distinct(k, texts, at)
	return append([]string{}, texts...), ok
}
func (capabilitiesKind) format(v any) string { return quoteAll(v.([]string), false) }

// variablesKind is a list of names of environment variables; a star at the end stands for any rest.
type variablesKind struct{}

func (variablesKind) typ() string       { return "name or list" }
func (variablesKind) wants(*key) string { return `a list of names like ["SSH_AUTH_SOCK", "LC_*"]` }
func (variablesKind) read(r *reader, k *key, n *node) (any, bool) {
	texts, at, ok := r.strings(k, n, false)
	for i, s := range texts {
		if name := strings.TrimSuffix(s, "*"); !variableName(name) && s != "*" {
			r.problem(at[i].at, `a * may stand at the end, as in "LC_*"`, "%s: %q is no name of a variable", k.label, shorten(s))
			ok = false
		} else if strings.HasPrefix(s, "DSAT_") {
			r.problem(at[i].at, "", "%s: %s cannot be inherited: names beginning with DSAT_ are dsat's own", k.label, shorten(s))
			ok = false
		}
	}
	return texts, ok
}
func (variablesKind) format(v any) string { return quoteAll(v.([]string), false) }

// rlimitKind is a limit of the kernel, soft and hard: one value for both, or "SOFT:HARD".
type rlimitKind struct{ unit rlimitUnit }

func (t rlimitKind) typ() string {
	switch t.unit {
	case unitBytes:
		return "size or \"SOFT:HARD\""
	case unitSeconds, unitMicroseconds:
		return "duration or \"SOFT:HARD\""
	}
	return "number or \"SOFT:HARD\""
}
func (t rlimitKind) wants(*key) string {
	example := "4096"
	switch t.unit {
	case unitBytes:
		example = `"64MiB"`
	case unitSeconds, unitMicroseconds:
		example = `"10s"`
	}
	return fmt.Sprintf("a limit like %s, \"unlimited\", or two of them as \"SOFT:HARD\"", example)
}
func (t rlimitKind) read(r *reader, k *key, n *node) (any, bool) {
	text, ok := t.written(r, k, n)
	if !ok {
		return nil, false
	}
	soft, hard, both := strings.Cut(text, ":")
	if !both {
		hard = soft
	}
	s, fine := t.parse(soft)
	h, whole := t.parse(hard)
	switch {
	case !fine || !whole:
		r.problem(n.at, "", "%s wants %s, not %q", k.label, t.wants(k), shorten(text))
	case s > h:
		r.problem(n.at, "", "%s: the soft limit %s is above the hard limit %s", k.label, soft, hard)
	default:
		return &Rlimit{Soft: s, Hard: h}, true
	}
	return nil, false
}

// written is the text of a limit; of a number too, where it needs no unit.
func (t rlimitKind) written(r *reader, k *key, n *node) (string, bool) {
	switch v := n.scalar.(type) {
	case string:
		return r.text(n, false)
	case int64:
		if t.unit == unitCount || v == 0 {
			return strconv.FormatInt(v, 10), true
		}
		r.problem(n.at, "", "%s wants %s: a bare number has no unit", k.label, t.wants(k))
	default:
		r.mistyped(k, n)
	}
	return "", false
}

// parse reads one limit. The largest number the kernel can hold is "unlimited", so it cannot be said otherwise.
func (t rlimitKind) parse(s string) (uint64, bool) {
	if s = strings.TrimSpace(s); s == "unlimited" || s == "infinity" {
		return Unlimited, true
	}
	if t.unit == unitCount || s == "0" {
		v, err := strconv.ParseUint(s, 10, 62)
		return v, err == nil
	}
	if t.unit == unitBytes {
		v, ok := parseSize(s)
		return uint64(v), ok
	}
	d, err := time.ParseDuration(s)
	tick := time.Second
	if t.unit == unitMicroseconds {
		tick = time.Microsecond
	}
	return uint64(d / tick), err == nil && d >= 0 && d%tick == 0
}

func (t rlimitKind) format(v any) string {
	l := v.(*Rlimit)
	if l.Soft != l.Hard {
		return `"` + t.text(l.Soft) + ":" + t.text(l.Hard) + `"`
	}
	if s := t.text(l.Soft); t.unit != unitCount || l.Soft == Unlimited {
		return `"` + s + `"`
	}
	return t.text(l.Soft)
}

func (t rlimitKind) text(v uint64) string {
	switch {
	case v == Unlimited:
		return "unlimited"
	case t.unit == unitBytes:
		return sizeText(int64(v))
	case t.unit == unitSeconds:
		return durationText(time.Duration(v) * time.Second)
	case t.unit == unitMicroseconds:
		return durationText(time.Duration(v) * time.Microsecond)
	}
	return strconv.FormatUint(v, 10)
}

// signalsKind is a list of names of signals.
type signalsKind struct{}

func (signalsKind) typ() string       { return "signal or list" }
func (signalsKind) wants(*key) string { return `a list of signals like ["TERM", "PIPE"]` }
func (signalsKind) read(r *reader, k *key, n *node) (any, bool) {
	list := n.items
	if n.shape != shapeArray {
		list = []*node{n}
	}
	var out []syscall.Signal
	all := true
	for _, c := range list {
		v, ok := signalKind{}.read(r, k, c)
		if all = all && ok; ok {
			out = append(out, v.(syscall.Signal))
		}
	}
	return out, all
}
func (signalsKind) format(v any) string {
	var out []string
	for _, s := range v.([]syscall.Signal) {
		out = append(out, signalName(s))
	}
	return quoteAll(out, false)
}

// sequenceKind is a list of signals, each "NAME" or "NAME after DURATION".
type sequenceKind struct{}

func (sequenceKind) typ() string { return "signal or list" }
func (sequenceKind) wants(*key) string {
	return `a list of signals like ["INT", "TERM after 2s", "QUIT after 5s"]`
}
func (t sequenceKind) read(r *reader, k *key, n *node) (any, bool) {
	texts, at, all := r.strings(k, n, false)
	if all && len(texts) == 0 {
		r.problem(n.at, "", "%s wants %s, not an empty list", k.label, t.wants(k))
		return nil, false
	}
	var out []StopSignal
	last := time.Duration(0)
	for i, s := range texts {
		name, after, timed := strings.Cut(s, " after ")
		member := *at[i]
		member.scalar = name
		v, ok := signalKind{}.read(r, k, &member)
		delay := time.Duration(0)
		if timed {
			member.scalar = strings.TrimSpace(after)
			d, fine := durationKind{}.read(r, &key{label: k.label}, &member)
			if ok = ok && fine; fine {
				delay = d.(time.Duration)
			}
		}
		if ok && (delay < last || i > 0 && delay == 0) {
			r.problem(at[i].at, "times are counted from the beginning of the stop", "%s: %q comes before the signal it follows", k.label, shorten(s))
			ok = false
		}
		if all = all && ok; ok {
			last = delay
			out = append(out, StopSignal{Signal: v.(syscall.Signal), After: delay})
		}
	}
	return out, all
}
func (sequenceKind) format(v any) string {
	var out []string
	for _, s := range v.([]StopSignal) {
		text := signalName(s.Signal)
		if s.After > 0 {
			text += " after " + durationText(s.After)
		}
		out = append(out, text)
	}
	return quoteAll(out, false)
}
