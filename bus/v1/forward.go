package v1

import (
	"math"
	"math/big"
	"strconv"
)

// Orchester is the name under which the orchester writes itself into vectors.
const Orchester = "orchester"

// Acknowledged is the report of the orchester that it has received v: v itself, but for event and pid.
func Acknowledged(v Vector, pid []byte) Vector {
	v.Event, v.PID = []byte(Ack), pid
	return v
}

// Forwarded is what the orchester of DSAT 0.6 makes of an INIT or BOUNCE before it sends it to the step that type names: pid is its
// own (it is written with the report ACK and stays), task_id and seq grow by one, event is INIT.
func Forwarded(v Vector, pid []byte) Vector {
	v.PID = pid
	v.TaskID = NextTask(v.TaskID)
	v.Step = []byte(Orchester)
	v.Event = []byte(Init)
	v.Next = v.Type
	v.Seq = NextSeq(v.Seq)
	return v
}

// Reported is the report of the orchester that it has sent on v, which is a Forwarded one.
func Reported(v Vector) Vector {
	v.Event = []byte(Send)
	return v
}

// NextTask is a task_id after a pass through the orchester: one more when it consists of digits, else the same.
func NextTask(id []byte) []byte {
	if len(id) == 0 {
		return id
	}
	for _, c := range id {
		if c < '0' || c > '9' {
			return id
		}
	}
	return plusOne(id)
}

// NextSeq is a seq after a send. What is no number stays as it is: Parse takes it, and Routable does not.
func NextSeq(seq []byte) []byte {
	if _, ok := number(seq); !ok {
		return seq
	}
	return plusOne(seq)
}

// plusOne adds one to a decimal number of any length.
func plusOne(n []byte) []byte {
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil && i < math.MaxInt64 {
		return strconv.AppendInt(nil, i+1, 10)
	}
	i, ok := new(big.Int).SetString(string(n), 10)
	if !ok {
		return n
	}
	return i.Add(i, big.NewInt(1)).Append(nil, 10)
}

// number reads digits with at most one sign before them. What is beyond int is the largest or smallest one.
func number(b []byte) (int, bool) {
	digits := b
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		digits = digits[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(string(b))
	if err != nil {
		n = math.MaxInt
		if b[0] == '-' {
			n = math.MinInt
		}
	}
	return n, true
}

// Hops is how many sends a vector has behind it by its seq: from 0 to 65,535.
func (v *Vector) Hops() uint16 {
	n, _ := number(v.Seq)
	return uint16(min(max(n, 0), math.MaxUint16))
}

// Routable says why an orchester cannot send v on, or nil: it is no INIT or BOUNCE, names no step, has a seq that is no number, or a
// payload that must not be read. Errors are *Malformed.
func (v *Vector) Routable() error {
	if e := string(v.Event); e != Init && e != Bounce {
		return malformed(ReasonField, "the orchester takes INIT and BOUNCE, not the event %.60q", e)
	}
	if len(v.Type) == 0 {
		return malformed(ReasonField, "type names no step")
	}
	if _, ok := number(v.Seq); !ok {
		return malformed(ReasonNumber, "seq is no number: %.60q", v.Seq)
	}
	_, err := Read(string(v.Serialization))
	return err
}
