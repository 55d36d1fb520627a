package topology

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// kind is a type of value of the language.
type kind interface {
	typ() string                                 // one word, for docs
	wants(k *key) string                         // "a duration like \"1m30s\"", for messages
	read(r *reader, k *key, n *node) (any, bool) // the checked value; reports and returns false when it is wrong
	format(v any) string                         // as TOML, readable again to the same value
	schema(k *key) map[string]any                // as JSON Schema
}

// structural is embedded by the kinds that the reader walks itself.
type structural struct{}

func (structural) read(*reader, *key, *node) (any, bool) { return nil, false }
func (structural) format(any) string                     { return "" }

// tableKind is a table of known keys, namesKind one whose members the user names, freeKind one that is not ours to check.
type (
	tableKind struct{ structural }
	namesKind struct {
		structural
		free bool // the names are not ours to check
	}
	freeKind struct{ structural }
)

func (tableKind) typ() string { return "table" }
func (namesKind) typ() string { return "table of names" }
func (freeKind) typ() string  { return "free table" }
func (tableKind) wants(k *key) string {
	if k.short != "" {
		return "a string or a table { ... }"
	}
	return "a table { ... }"
}
func (namesKind) wants(*key) string { return "a table of names" }
func (freeKind) wants(*key) string  { return "a table { ... }" }

// textKind is any string.
type textKind struct{ instance bool }

func (textKind) typ() string       { return "string" }
func (textKind) wants(*key) string { return "a string" }
func (t textKind) read(r *reader, k *key, n *node) (any, bool) {
	if _, ok := n.scalar.(string); !ok {
		r.mistyped(k, n)
		return nil, false
	}
	return r.text(n, t.instance)
}
func (t textKind) format(v any) string { return quote(v.(string), t.instance) }

// nameKind is the name of a topology.
type nameKind struct{ textKind }

func (t nameKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	return v, ok && r.satelliteName(v.(string), n.at)
}

// boolKind is true or false.
type boolKind struct{}

func (boolKind) typ() string       { return "boolean" }
func (boolKind) wants(*key) string { return "true or false" }
func (boolKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := n.scalar.(bool)
	if !ok {
		r.mistyped(k, n)
	}
	return v, ok
}
func (boolKind) format(v any) string { return strconv.FormatBool(v.(bool)) }

// wholeKind is a number without fraction, between min and max.
type wholeKind struct{}

func (wholeKind) typ() string { return "whole number" }
func (wholeKind) wants(k *key) string {
	return fmt.Sprintf("a whole number from %d to %d", k.min, k.max)
}
func (wholeKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := n.scalar.(int64)
	switch {
	case !ok:
		r.mistyped(k, n)
	case k.name == "dsat" && v != k.max:
		r.problem(n.at, "", "format %d of topologies is not known: this version reads format %d", v, k.max)
	case v < k.min || v > k.max:
		r.problem(n.at, "", "%s wants a number from %d to %d, not %d", k.label, k.min, k.max, v)
	default:
		return v, true
	}
	return nil, false
}
func (wholeKind) format(v any) string { return fmt.Sprint(v) }

// numberKind is any number between min and max.
type numberKind struct{}

func (numberKind) typ() string         { return "number" }
func (numberKind) wants(k *key) string { return fmt.Sprintf("a number from %d to %d", k.min, k.max) }
func (numberKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := n.scalar.(float64)
	if i, whole := n.scalar.(int64); whole {
		v, ok = float64(i), true
	}
	switch {
	case !ok:
		r.mistyped(k, n)
	case !(v >= float64(k.min) && v <= float64(k.max)):
		r.problem(n.at, "", "%s wants a number from %d to %d, not %v", k.label, k.min, k.max, v)
	default:
		return v, true
	}
	return nil, false
}
func (numberKind) format(v any) string {
	s := strconv.FormatFloat(v.(float64), 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// durationKind is a string like "1m30s", in nanoseconds, not negative.
type durationKind struct{}

func (durationKind) typ() string       { return "duration" }
func (durationKind) wants(*key) string { return `a duration like "1m30s"` }
func (d durationKind) read(r *reader, k *key, n *node) (any, bool) {
	if unitless(n) {
		r.problem(n.at, fmt.Sprintf(`write "%vs"`, n.scalar), "%s wants %s: a bare number has no unit", k.label, d.wants(k))
		return nil, false
	}
	if _, ok := n.scalar.(string); !ok {
		r.mistyped(k, n)
		return nil, false
	}
	s, ok := r.text(n, false)
	if !ok {
		return nil, false
	}
	v, err := time.ParseDuration(s)
	switch {
	case err != nil:
		r.problem(n.at, "units are ns, us, ms, s, m, h; a day is 24h", "%s wants %s, not %q", k.label, d.wants(k), shorten(s))
	case v < 0:
		r.problem(n.at, "", "%s cannot be negative", k.label)
	case v < time.Duration(k.min):
		r.problem(n.at, "", "%s cannot be shorter than %s", k.label, time.Duration(k.min))
	default:
		return v, true
	}
	return nil, false
}
func (durationKind) format(v any) string { return `"` + durationText(v.(time.Duration)) + `"` }

func unitless(n *node) bool {
	switch n.scalar.(type) {
	case int64, float64:
		return true
	}
	return false
}

// durationText is "1m" where the standard library says "1m0s".
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeKind is a string like "64MiB", in bytes.
type sizeKind struct{}

type unit struct {
	name  string
	bytes int64
}

// units are the suffixes of sizes; the larger first, those of format (powers of two) before the others.
func units() []unit {
	return []unit{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
	}
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,15})(\.[0-9]{1,6})? ?([A-Za-z]+)$`)

func (sizeKind) typ() string       { return "size" }
func (sizeKind) wants(*key) string { return `a size like "64MiB"` }
func (z sizeKind) read(r *reader, k *key, n *node) (any, bool) {
	if unitless(n) {
		r.problem(n.at, fmt.Sprintf(`write "%vB"`, n.scalar), "%s wants %s: a bare number has no unit", k.label, z.wants(k))
		return nil, false
	}
	if _, ok := n.scalar.(string); !ok {
		r.mistyped(k, n)
		return nil, false
	}
	s, ok := r.text(n, false)
	if !ok {
		return nil, false
	}
	v, ok := parseSize(s)
	switch {
	case !ok:
		r.problem(n.at, "units are B, KiB, MiB, GiB, TiB, and kB, MB, GB, TB for powers of ten", "%s wants %s, not %q", k.label, z.wants(k), shorten(s))
	case v < k.min || v > k.max:
		r.problem(n.at, "", "%s wants a size from %s to %s", k.label, sizeText(k.min), sizeText(k.max))
	default:
		return v, true
	}
	return nil, false
}
func (sizeKind) format(v any) string { return `"` + sizeText(v.(int64)) + `"` }

func parseSize(s string) (int64, bool) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	for _, u := range units() {
		if u.name != m[3] {
			continue
		}
		f, err := strconv.ParseFloat(m[1]+m[2], 64)
		v := f * float64(u.bytes)
		return int64(v), err == nil && v == math.Trunc(v) && v <= 1<<53
	}
	return 0, false
}

// sizeText is exact: the largest unit of powers of two that divides.
func sizeText(v int64) string {
	for _, u := range units()[:4] {
		if v != 0 && v%u.bytes == 0 {
			return strconv.FormatInt(v/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(v, 10) + "B"
}
