package codec

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// cborCodec is RFC 8949. It reads everything that is well-formed: indefinite lengths, half floats, tags. Tags say how a value
// is meant: 0 and 1 (times) become a text of RFC 3339, 2 and 3 integers, 21 to 23 the text their byte string is to become;
// all others leave what they enclose (section 6.1). undefined and simple values without a meaning become null. It writes the core
// deterministic encoding of section 4.2.1.
type cborCodec struct{}

func (cborCodec) Spec() Spec { return Spec{Name: "cbor"} }

// maxBig is how many bytes an integer of MaxDigits digits has at most.
const maxBig = 416

// cborModes are the library's; made at each use of a codec they would cost more than the payload.
type cborModes struct {
	dec cbor.DecMode
	enc cbor.EncMode
	err error
}

var modes = newCBORModes()

func newCBORModes() cborModes {
	dec, err1 := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: MaxDepth, MaxArrayElements: MaxPayload, MaxMapPairs: MaxPayload,
		DefaultMapType: reflect.TypeFor[map[any]any](), MapKeyByteString: cbor.MapKeyByteStringAllowed, TimeTag: cbor.DecTagOptional,
		BigIntDec: cbor.BigIntDecodePointer,
	}.DecMode()
	enc, err2 := cbor.CoreDetEncOptions().EncMode()
	return cborModes{dec, enc, errors.Join(err1, err2)}
}

func (cborCodec) Decode(p []byte) (any, error) {
	if modes.err != nil {
		return nil, modes.err
	}
	if len(p) > MaxPayload {
		return nil, tooLong(len(p))
	}
	var v any
	if err := modes.dec.Unmarshal(p, &v); err != nil {
		return nil, fmt.Errorf("it is not CBOR: %s", strings.TrimPrefix(err.Error(), "cbor: "))
	}
	return plainValue(v, 0)
}

// plainValue makes of what the library returns what the package promises.
func plainValue(v any, depth int) (any, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("it nests more than %d deep", MaxDepth)
	}
	switch v := v.(type) {
	case nil, bool, int64, float64, string, []byte:
		return v, nil
	case uint64:
		return small(v), nil
	case *big.Int:
		return integer(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case cbor.ByteString:
		return []byte(v), nil
	case cbor.SimpleValue:
		return nil, nil
	case cbor.Tag:
		return tagged(v, depth)
	case []any:
		for i := range v {
			e, err := plainValue(v[i], depth+1)
			if err != nil {
				return nil, err
			}
			v[i] = e
		}
		return v, nil
	case map[any]any:
		return object(v, depth)
	}
	return nil, fmt.Errorf("a value of type %T is none a codec makes", v)
}

func small(n uint64) any {
	if n>>63 == 0 {
		return int64(n)
	}
	return n
}

func integer(n *big.Int) (any, error) {
	switch {
	case n.IsInt64():
		return n.Int64(), nil
	case n.IsUint64():
		return n.Uint64(), nil
	case n.BitLen() > 8*maxBig:
		return nil, fmt.Errorf("an integer of %d bytes: at most %d digits are taken", (n.BitLen()+7)/8, MaxDigits)
	}
	return n, nil
}

func tagged(t cbor.Tag, depth int) (any, error) {
	v, err := plainValue(t.Content, depth+1)
	bytes, ok := v.([]byte)
	if err != nil || !ok {
		return v, err
	}
	switch t.Number {
	case 21:
		return base64.RawURLEncoding.EncodeToString(bytes), nil
	case 22:
		return base64.StdEncoding.EncodeToString(bytes), nil
	case 23:
		return strings.ToUpper(hex.EncodeToString(bytes)), nil
	}
	return v, nil
}

// object makes the keys of a map strings: integers in decimal, byte strings as base64url.
func object(m map[any]any, depth int) (any, error) {
	out := make(map[string]any, len(m))
	for k, e := range m {
		key, err := keyOf(k)
		if err != nil {
			return nil, err
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("two keys of a map are %q as text", cut(key))
		}
		if out[key], err = plainValue(e, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func keyOf(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return k, nil
	case int64:
		return strconv.FormatInt(k, 10), nil
	case uint64:
		return strconv.FormatUint(k, 10), nil
	case cbor.ByteString:
		return base64.RawURLEncoding.EncodeToString([]byte(k)), nil
	}
	return "", errors.New("a key of a map is neither a text nor an integer nor a byte string")
}

func (cborCodec) Encode(v any) ([]byte, error) {
	if modes.err != nil {
		return nil, modes.err
	}
	if err := encodable(v, 0); err != nil {
		return nil, err
	}
	return modes.enc.Marshal(v)
}

// encodable looks before the library does, which would take any Go value.
func encodable(v any, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("it nests more than %d deep", MaxDepth)
	}
	switch v := v.(type) {
	case nil, bool, int64, uint64, *big.Int, float64, []byte:
		return nil
	case string:
		_, err := text{}.Encode(v)
		return err
	case []any:
		for _, e := range v {
			if err := encodable(e, depth+1); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for k, e := range v {
			if err := errors.Join(encodable(k, 0), encodable(e, depth+1)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("a value of type %T is none a codec makes", v)
}
