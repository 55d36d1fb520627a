package main

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
)

// Only what stands in the file as it is mapped may be thrown away: not what was relocated, can be written, belongs to others or to nobody.
func TestUnchangedPages(t *testing.T) {
	const smaps = `00400000-00800000 r-xp 00000000 fe:00 42 /opt/a b/dsatd
Size:               4096 kB
Anonymous:             0 kB
VmFlags: rd ex mr
00800000-00900000 r--p 00400000 fe:00 42 /opt/a b/dsatd
Anonymous:             0 kB
00900000-00a00000 r--p 00500000 fe:00 42 /opt/a b/dsatd
Anonymous:             4 kB
00a00000-00b00000 rw-p 00600000 fe:00 42 /opt/a b/dsatd
Anonymous:             0 kB
00b00000-00c00000 r--s 00600000 fe:00 42 /opt/a b/dsatd
Anonymous:             0 kB
00c00000-00d00000 r--p 00000000 00:00 0
Anonymous:             0 kB
00d00000-00e00000 r-xp 00000000 fe:00 43 /lib/libc.so.6
Anonymous:             0 kB
zz-00e00000 r-xp 00000000 fe:00 42 /opt/a b/dsatd
Anonymous:             0 kB
`
	got := unchanged(bufio.NewScanner(strings.NewReader(smaps)), "/opt/a b/dsatd")
	if want := []stretch{{0x400000, 0x800000}, {0x800000, 0x900000}}; !slices.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

// The program runs on, and finds in its tables what it has shed.
func TestShed(t *testing.T) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(unchanged(bufio.NewScanner(f), self)) == 0 {
		t.Error("nothing of the program can be shed")
	}
	for range 3 {
		shed()
	}
	defer func() {
		if recover() == nil { // tables of functions and types are needed for it
			t.Error("no panic")
		}
	}()
	_ = make([]int, 1)[len(os.Args)+1]
}
