package topology

import (
	"fmt"
	"strconv"
	"strings"
)

// Ref names an instance: the satellite and the number of the slot.
type Ref struct {
	Name string
	WID  int
}

// String is "cpu:0".
func (r Ref) String() string { return r.Name + ":" + strconv.Itoa(r.WID) }

// ParseRef reads "cpu:0".
func ParseRef(s string) (Ref, error) {
	name, wid, ok := strings.Cut(s, ":")
	n, err := strconv.Atoi(wid)
	if !ok || err != nil || n < 0 || name == "" {
		return Ref{}, fmt.Errorf("cannot read %q as an instance: want NAME:NUMBER", s)
	}
	return Ref{Name: name, WID: n}, nil
}

// Incarnation is one life of an instance: the epoch of the daemon that spawned it in the upper 32 bits, the number of the
// spawn in the lower. It grows with every spawn, over restarts of the daemon too.
type Incarnation uint64

// NewIncarnation joins the two halves.
func NewIncarnation(epoch, spawn uint32) Incarnation {
	return Incarnation(uint64(epoch)<<32 | uint64(spawn))
}

// Epoch is the daemon's run that spawned it.
func (i Incarnation) Epoch() uint32 { return uint32(i >> 32) }

// Spawn is the number of the spawn within the epoch, from 1.
func (i Incarnation) Spawn() uint32 { return uint32(i) }

// String is "epoch.spawn".
func (i Incarnation) String() string { return fmt.Sprintf("%d.%d", i.Epoch(), i.Spawn()) }
