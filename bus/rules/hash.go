package rules

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Sum is a number for a value: equal values have equal sums, in every process and version. It is FNV-1a (64 bits) over the
// kind and the bytes of the value, finished by Mix. Whole floats and integers that are equal are one value.
func Sum(v any) uint64 {
	return Mix(sum(14695981039346656037, v))
}

func sum(h uint64, v any) uint64 {
	var b [9]byte
	switch v := v.(type) {
	case nil:
		return bytes(h, []byte{0})
	case string:
		h = bytes(h, []byte{1})
		for i := range len(v) {
			h = (h ^ uint64(v[i])) * 1099511628211
		}
		return h
	case bool:
		if v {
			return bytes(h, []byte{2, 1})
		}
		return bytes(h, []byte{2, 0})
	case []any:
		h = bytes(h, []byte{4})
		for _, x := range v {
			h = sum(h, x)
		}
		return bytes(h, []byte{5})
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		h = bytes(h, []byte{6})
		for _, name := range names {
			h = sum(sum(h, name), v[name])
		}
		return bytes(h, []byte{7})
	case []byte:
		return bytes(bytes(h, []byte{8}), v)
	}
	f, ok := number(v)
	if !ok {
		if s, says := v.(fmt.Stringer); says { // integers beyond 64 bits
			return sum(h, s.String())
		}
		return bytes(h, []byte{9})
	}
	if f == 0 {
		f = 0 // not minus zero
	}
	b[0] = 3
	binary.LittleEndian.PutUint64(b[1:], math.Float64bits(f))
	return bytes(h, b[:])
}

func bytes(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// number is a value as a float, if it is one.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case int32:
		return float64(v), true
	case int16:
		return float64(v), true
	case int8:
		return float64(v), true
	case uint64:
		return float64(v), true
	case uint32:
		return float64(v), true
	case uint16:
		return float64(v), true
	case uint8:
		return float64(v), true
	case uint:
		return float64(v), true
	}
	return 0, false
}

// Mix spreads the bits of a number: the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func Mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// Share reports whether a number falls into the given percentage of all numbers: the same number always, and what falls into
// 10 % falls into 20 % too.
func Share(sum uint64, percent float64) bool {
	return float64(Mix(sum)>>11)/(1<<53)*100 < percent
}
