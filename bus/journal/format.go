package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	magic        = "DSATSEG\n"
	version      = 1
	headerSize   = 64 // of a segment
	recordHeader = 32
	markBody     = 24
	markSize     = recordHeader + markBody
	markKind     = 255
	origin       = 4096 // the address of the first byte of a new log, so that no record has address 0

	// MaxBody is the largest body of a record, in bytes. Segments grow to fit one.
	MaxBody = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli) // a table of constants

var order = binary.LittleEndian

// Position is the address of a record: bytes since the beginning of the log's life. 0 is nowhere.
type Position uint64

// header is the head of a segment.
type header struct {
	number   uint64
	base     Position
	first    uint64
	created  int64
	epoch    uint32
	size     int64 // of the file when it was made
	identity uint64
}

func (h header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	order.PutUint32(b[8:], version)
	order.PutUint64(b[16:], h.number)
	order.PutUint64(b[24:], uint64(h.base))
	order.PutUint64(b[32:], h.first)
	order.PutUint64(b[40:], uint64(h.created))
	order.PutUint32(b[48:], h.epoch)
	order.PutUint32(b[52:], uint32(h.size/8))
	order.PutUint64(b[56:], h.identity)
	order.PutUint32(b[12:], crc32.Checksum(b, castagnoli))
	return b
}

// decodeHeader reads a segment's head. A version that is not ours but intact is a VersionError.
func decodeHeader(b []byte) (header, error) {
	if len(b) < headerSize {
		return header{}, fmt.Errorf("the head has %d bytes instead of %d", len(b), headerSize)
	}
	sum := order.Uint32(b[12:])
	var c [headerSize]byte
	copy(c[:], b)
	order.PutUint32(c[12:], 0)
	switch {
	case string(b[:8]) != magic:
		return header{}, fmt.Errorf("the head does not begin with the magic word")
	case crc32.Checksum(c[:], castagnoli) != sum:
		return header{}, fmt.Errorf("the checksum of the head is wrong")
	case order.Uint32(b[8:]) != version:
		return header{}, &VersionError{Version: int(order.Uint32(b[8:]))}
	}
	return header{
		number: order.Uint64(b[16:]), base: Position(order.Uint64(b[24:])), first: order.Uint64(b[32:]),
		created: int64(order.Uint64(b[40:])), epoch: order.Uint32(b[48:]), size: int64(order.Uint32(b[52:])) * 8, identity: order.Uint64(b[56:]),
	}, nil
}

// VersionError is a log written by another release in a format that this one does not read.
type VersionError struct {
	Path    string
	Version int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("cannot read %s: it has journal format %d, this release reads format %d: let the release that wrote it deliver "+
		"what is in it (start it, `dsatctl queue drain STEP --wait`), then move the directory away; the file was not changed",
		e.Path, e.Version, version)
}

// padded is the room that a body of n bytes takes, without its header.
func padded(n int) int { return (n + 7) &^ 7 }

// seed is where the header checksums of a log begin.
func seed(identity uint64) uint32 {
	var b [8]byte
	order.PutUint64(b[:], identity)
	return crc32.Checksum(b[:], castagnoli)
}

// at mixes an address into the beginning of a checksum: the same bytes elsewhere have another one.
func at(seed uint32, p Position) uint32 { return seed ^ uint32(p>>3) ^ uint32(p>>35)*0x9E3779B1 }

// putRecord writes the head of a record, without checksums, which are the writer's work (stamp).
func putRecord(b []byte, length int, seq uint64, now int64, kind uint8) {
	order.PutUint32(b, uint32(length))
	order.PutUint32(b[4:], 0)
	order.PutUint64(b[8:], seq)
	order.PutUint64(b[16:], uint64(now))
	order.PutUint64(b[24:], uint64(kind))
}

// stamp fills in the checksums of the record at the beginning of b, whose address is p. It returns the record's size.
func stamp(b []byte, seed uint32, p Position) int {
	n := int(order.Uint32(b))
	order.PutUint32(b[4:], crc32.Checksum(b[recordHeader:recordHeader+n], castagnoli))
	order.PutUint32(b[28:], crc32.Update(at(seed, p), castagnoli, b[:28]))
	return recordHeader + padded(n)
}

// soundHead says whether b begins with the intact head of a record at p.
func soundHead(b []byte, seed uint32, p Position) bool {
	return order.Uint32(b[28:]) == crc32.Update(at(seed, p), castagnoli, b[:28]) && order.Uint32(b) <= MaxBody
}

func soundBody(b []byte) bool {
	n := int(order.Uint32(b))
	return crc32.Checksum(b[recordHeader:recordHeader+n], castagnoli) == order.Uint32(b[4:])
}

// view is the record at the beginning of b, whose head and body are known to be sound.
func view(b []byte, p Position) Record {
	n := int(order.Uint32(b))
	return Record{
		Seq: order.Uint64(b[8:]), Kind: b[24], At: p, Time: int64(order.Uint64(b[16:])),
		Body: b[recordHeader : recordHeader+n : recordHeader+n],
	}
}

// mark is the body of a commit mark.
type mark struct {
	begin, synced Position
	count, crc    uint32
}

func (m mark) put(b []byte) {
	order.PutUint64(b, uint64(m.begin))
	order.PutUint64(b[8:], uint64(m.synced))
	order.PutUint32(b[16:], m.count)
	order.PutUint32(b[20:], m.crc)
}

func decodeMark(body []byte) (mark, bool) {
	if len(body) != markBody {
		return mark{}, false
	}
	return mark{
		begin: Position(order.Uint64(body)), synced: Position(order.Uint64(body[8:])),
		count: order.Uint32(body[16:]), crc: order.Uint32(body[20:]),
	}, true
}
