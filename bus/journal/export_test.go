package journal

import "fmt"

// FormatText is the head of a log of another format.
func FormatText(format int, id uint64) string {
	text := fmt.Sprintf("dsat journal\nformat %d\nidentity %016x\n", format, id)
	return fmt.Sprintf("%scheck %08x\n", text, checksum([]byte(text)))
}
