package journal

import "fmt"

// FormatText is the head of a log of another format.
func FormatText(format int, id uint64) string {
	text := fmt.Sprintf("dsat journal\nformat %d\nidentity %016x\n", format, id)
	return fmt.Sprintf("%scheck %08x\n", text, checksum([]byte(text)))
}

// OtherFormat makes the head of a segment one of format 2, intact.
func OtherFormat(b []byte) []byte {
	order.PutUint32(b[8:], 2)
	order.PutUint32(b[12:], 0)
	order.PutUint32(b[12:], checksum(b[:headerSize]))
	return b
}

// RealDisk is what a log uses without another.
func RealDisk() FS { return disk{} }
