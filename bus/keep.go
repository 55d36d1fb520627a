package bus

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"hash/crc32"
	"time"
)

// kept is all that must survive an exec in place. Times are relative to the moment of the export: two daemons share no clock.
// Fields may be added; one whose meaning changes needs another keptVersion.
type kept struct {
	Steps   []keptStep
	Bodies  [][]byte // payloads; the hops of a fan-out share one
	Tasks   []keptTask
	Aside   []keptAside
	Hops    []keptEnd // ended, oldest first
	Ended   []keptEnd // tasks, likewise
	Sources []keptSource
	Past    Ledger
	Wall    int64 // time of day, ns, of the export
	Evicted uint64
	Strays  uint64
	Replies []keptAnswer
	Hooks   []TaskEnd // that have ended, and their commands are not begun
	Routes  []keptRoute
	Formats []string // of structs; their codec is firstFormat and the index here
}

type keptStep struct {
	Name                   string
	Counts                 []uint64 // in the order of counts.all
	Latency                Histogram
	Streak                 int
	Waiting, Suspect, Held []keptHop
	Paused, Shut           bool
	Seen                   []keptSeen   // the window of its ids, oldest first
	Breaker                *keptBreaker // nil: closed, or none
	Direct                 []uint64     // sent, bytes, received, missed
	Order                  []uint64     // ids of all that wait in lines, where a part of them is on disk
}

type keptHop struct {
	ID                                    uint64
	Task                                  int   // index in Tasks
	Body                                  int   // index in Bodies
	From                                  int   // index in Steps, or outside
	Age                                   int64 // ns since its admission
	Due                                   int64 // ns until its retry
	Codec, Hops, Attempts, Fails, Crashes uint16
	Level                                 uint8
	Late                                  bool // it was delayed, and came when its time did
	Evidence                              []string
	Tries                                 []keptTry
	Key                                   uint64 // of its step's keys
	Keyed                                 bool
	Lined                                 bool // it stands in line for its key
}

type keptTask struct {
	ID            uint64
	Age           int64 // ns
	Count, Failed uint32
	Limit         uint32 // ms from its beginning; 0: none
	Reason        string
	Origin        string // name of the step whose hooks are about it; "": none
}

type keptAside struct {
	ID, Task          uint64
	Step              string
	At                time.Time
	Reason            string
	Attempts, Crashes int
	Codec             uint16
	Payload           []byte
	Evidence          []string
}

// keptEnd is a hop, or a task, that has ended and is remembered.
type keptEnd struct {
	ID, Task   uint64
	Age, Ended int64 // ns since its admission, since its end
	Reason     string
	Step       string
	Attempts   uint16
	State      state
	Failed     bool
	From       string
	Tries      []keptTry
	Last       *keptTry
}

// keptSource is how far a life of a source was.
type keptSource struct {
	Name     string
	WID      int
	Inc      uint64
	Accepted uint64
}

// The bytes of an export: "DSATKEPT", u32 version, u32 CRC-32C of what follows, then a gob of kept.
const (
	keptMagic   = "DSATKEPT"
	keptVersion = 1
	keptHeader  = len(keptMagic) + 8
)

func (k *kept) encode() ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, keptHeader, keptHeader+k.size()))
	if err := gob.NewEncoder(buf).Encode(k); err != nil {
		return nil, fmt.Errorf("cannot write down the state of the bus: %w", err)
	}
	b := buf.Bytes()
	copy(b, keptMagic)
	binary.LittleEndian.PutUint32(b[8:], keptVersion)
	binary.LittleEndian.PutUint32(b[12:], crc(b[keptHeader:]))
	return b, nil
}

// size is about how many bytes it will take.
func (k *kept) size() int {
	n := 1 << 12
	for _, b := range k.Bodies {
		n += len(b) + 8
	}
	for i := range k.Aside {
		n += len(k.Aside[i].Payload) + 64
	}
	return n
}

func crc(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// decodeKept reads an export; what it returns fits together.
func decodeKept(b []byte) (*kept, error) {
	refuse := func(format string, args ...any) (*kept, error) {
		return nil, &Error{KindInvalid, "cannot take over the state of the bus: " + fmt.Sprintf(format, args...)}
	}
	if len(b) < keptHeader || string(b[:8]) != keptMagic {
		return refuse("it does not begin with %s", keptMagic)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != keptVersion {
		return refuse("it is of version %d, and this dsatd reads %d", v, keptVersion)
	}
	if binary.LittleEndian.Uint32(b[12:]) != crc(b[keptHeader:]) {
		return refuse("it is damaged: the checksum is wrong")
	}
	k := &kept{}
	if err := gob.NewDecoder(bytes.NewReader(b[keptHeader:])).Decode(k); err != nil {
		return refuse("%v", err)
	}
	if err := k.check(); err != nil {
		return refuse("%v", err)
	}
	return k, nil
}

// check says what refers to something that is not there.
func (k *kept) check() error {
	names := map[string]bool{}
	for i := range k.Steps {
		s := &k.Steps[i]
		if names[s.Name] {
			return fmt.Errorf("step %s is there twice", s.Name)
		}
		names[s.Name] = true
		for _, list := range [][]keptHop{s.Waiting, s.Suspect, s.Held} {
			for n := range list {
				h := &list[n]
				if uint(h.Task) >= uint(len(k.Tasks)) || uint(h.Body) >= uint(len(k.Bodies)) || h.From < outside || h.From >= len(k.Steps) {
					return fmt.Errorf("hop %s of step %s belongs to nothing", formatID(h.ID), s.Name)
				}
			}
		}
	}
	return nil
}
