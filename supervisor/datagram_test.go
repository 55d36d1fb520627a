package supervisor

import (
	"strings"
	"testing"
	"time"
)

func TestParseDatagram(t *testing.T) {
	got, ok := parseDatagram([]byte("READY=1\nSTATUS=up \x01and\xff running\nWATCHDOG=1\nWATCHDOG_USEC=2000000\nEXTEND_TIMEOUT_USEC=5000000\nFDNAME=x\nFDSTORE=1\nFDPOLL=0\nNEW=1\nnonsense"))
	if !ok || !got.ready || !got.fed || got.starved || got.stopping || *got.watchdog != 2*time.Second || got.extend != 5*time.Second ||
		*got.status != "up and? running" || !got.store || !got.pollOff || got.fdName != "x" {
		t.Errorf("%+v", got)
	}
	for text, bad := range map[string]bool{
		"": true, "\x00": true, "READY=1\x00": false, "READY=1\x00STATUS=x": true, strings.Repeat("a", mostDatagram+1): true, "x": false,
	} {
		if _, ok := parseDatagram([]byte(text)); ok == bad {
			t.Errorf("%.20q: %v", text, ok)
		}
	}
	for _, text := range []string{"WATCHDOG_USEC=-1", "WATCHDOG_USEC=99999999999999999999", "READY=2", "EXTEND_TIMEOUT_USEC=18446744073709551615", "READY =1"} {
		if got, _ := parseDatagram([]byte(text)); got != (tidings{}) {
			t.Errorf("%s: %+v", text, got)
		}
	}
	if got, _ := parseDatagram([]byte("EXTEND_TIMEOUT_USEC=999999999999")); got.extend != longestExtension {
		t.Errorf("%v", got.extend)
	}
}

func TestTidingsAddUp(t *testing.T) {
	var all tidings
	for _, text := range []string{"RELOADING=1", "READY=1\nSTATUS=a", "STATUS=b\nWATCHDOG=1", "RELOADING=1"} {
		one, _ := parseDatagram([]byte(text))
		all.add(one)
	}
	if !all.ready || !all.reloading || !all.fed || *all.status != "b" {
		t.Errorf("%+v", all)
	}
	again, _ := parseDatagram([]byte("READY=1"))
	if all.add(again); all.reloading {
		t.Error("it is ready again")
	}
}

func FuzzParseDatagram(f *testing.F) {
	for _, s := range []string{"READY=1", "STATUS=\xff\nWATCHDOG=trigger", "FDSTORE=1\nFDNAME=a:b", "EXTEND_TIMEOUT_USEC=1\n\n=\nWATCHDOG_USEC=0\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := parseDatagram(text)
		if !ok && got != (tidings{}) {
			t.Errorf("refused, and told %+v", got)
		}
		if got.extend < 0 || got.extend > longestExtension || got.watchdog != nil && *got.watchdog < 0 {
			t.Errorf("%+v", got)
		}
		if s := got.status; s != nil && (len(*s) > mostStatus+4 || strings.ContainsAny(*s, "\n\x00\x1b")) {
			t.Errorf("%q", *s)
		}
	})
}
