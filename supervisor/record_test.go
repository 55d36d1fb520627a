package supervisor

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A full disk: half a line must not spoil what follows it, it is told once, and when there is room the file says again all that is
// true, whether anything happens or not.
func TestRecordOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir() + "/record"
		var said bytes.Buffer
		r, _, err := openRecord(path, slog.New(slog.NewTextHandler(&said, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer r.close()
		spawned := func(name string, pid int) {
			key := recordKey{ref(name, 0), 1}
			r.intend(key.ref, key.inc)
			r.put(recordEntry{recordKey: key, kin: kin{pid, 5}, spec: "s"})
		}
		spawned("before", 70)
		spawned("ends", 71)
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		r.f.Close()
		r.f = full
		if err := os.Mkdir(path+".new", 0o700); err != nil { // nor can another file be made
			t.Fatal(err)
		}
		r.ended(ref("ends", 0), 1)
		spawned("meanwhile", 72)
		time.Sleep(10 * recordRetry)
		if r.whole() == nil {
			t.Error("it says that it is whole")
		}
		if err := os.Remove(path + ".new"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(recordRetry)
		synctest.Wait()
		names := func() string {
			left, _ := parseRecord(readFile(t, path), bootID())
			var all []string
			for _, e := range left {
				all = append(all, e.ref.Name)
			}
			return strings.Join(all, " ")
		}
		if got := names(); got != "before meanwhile" && got != "meanwhile before" {
			t.Errorf("when there is room: %q", got)
		}
		spawned("after", 73)
		if got := names(); !strings.Contains(got, "after") {
			t.Errorf("and then: %q", got)
		}
		if n := strings.Count(said.String(), "level=ERROR"); n != 1 || !strings.Contains(said.String(), "can be written again") {
			t.Errorf("it said:\n%s", said.String())
		}
	})
}
