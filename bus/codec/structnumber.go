package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
)

func (it *item) putInteger(order binary.ByteOrder, p []byte, v any) error {
	low, high := it.bounds()
	n, fits := uint64(0), false
	switch v := v.(type) {
	case int64:
		n, fits = uint64(v), v >= low && (v < 0 || uint64(v) <= high)
	case uint64:
		n, fits = v, v <= high
	case *big.Int:
	case float64: // whole numbers of those who know no others
		if v != math.Trunc(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v is no integer", v)
		}
		if v >= -1<<63 && v < 0 {
			n, fits = uint64(int64(v)), int64(v) >= low
		} else if v >= 0 && v < 1<<64 {
			n, fits = uint64(v), uint64(v) <= high
		}
	default:
		return fmt.Errorf("%s is no integer", kindOf(v))
	}
	if !fits {
		return fmt.Errorf("%v does not fit: %c takes %d to %d", v, it.letter, low, high)
	}
	switch len(p) {
	case 1:
		p[0] = byte(n)
	case 2:
		order.PutUint16(p, uint16(n))
	case 4:
		order.PutUint32(p, uint32(n))
	default:
		order.PutUint64(p, n)
	}
	return nil
}

func (it *item) putFloat(order binary.ByteOrder, p []byte, v any) error {
	f, err := floatOf(v)
	if err != nil {
		return err
	}
	rounded := f
	switch len(p) {
	case 2:
		h := toHalf(f)
		rounded = half(h)
		order.PutUint16(p, h)
	case 4:
		rounded = float64(float32(f))
		order.PutUint32(p, math.Float32bits(float32(f)))
	default:
		order.PutUint64(p, math.Float64bits(f))
	}
	if math.IsInf(rounded, 0) && !math.IsInf(f, 0) {
		return fmt.Errorf("%v is too large for %c", f, it.letter)
	}
	return nil
}

func floatOf(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		if math.IsInf(f, 0) {
			return 0, fmt.Errorf("%d digits are too large for a float", len(v.String()))
		}
		return f, nil
	}
	return 0, fmt.Errorf("%s is no number", kindOf(v))
}

// half is the value of an IEEE 754 binary16.
func half(h uint16) float64 {
	sign := 1.0
	if h>>15 != 0 {
		sign = -1
	}
	exponent, fraction := int(h>>10&0x1f), float64(h&0x3ff)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 0x1f:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(fraction+1024, exponent-25)
}

// toHalf rounds to the nearest binary16, to even in the middle; what is too large becomes an infinity.
func toHalf(f float64) uint16 {
	sign := uint16(0)
	if math.Signbit(f) {
		sign, f = 1<<15, -f
	}
	switch {
	case math.IsNaN(f):
		return sign | 0x7e00
	case f >= 65520:
		return sign | 0x7c00
	case f < 0x1p-14: // subnormal, in steps of 2^-24
		return sign | uint16(math.RoundToEven(math.Ldexp(f, 24)))
	}
	fraction, exponent := math.Frexp(f) // in [0.5, 1): 11 bits of it stay
	return sign | uint16(int(math.RoundToEven(math.Ldexp(fraction, 11)))-1024+(exponent+14)<<10)
}
