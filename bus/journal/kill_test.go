package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/journal"
)

// writerKills is how often a writer is killed in all; `make soak` asks for 10,000.
var writerKills = flag.Int("kills", 60, "kills of a writing process for TestKilledWriters")

// A writer is this test binary once more, which writes to a log on the real disk until it is killed, and tells through a pipe what it was
// promised. It knows what the lives before it were promised, and looks whether that is there.
const (
	writerDir      = "DSAT_TEST_WRITER_DIR"
	writerLife     = "DSAT_TEST_WRITER_LIFE"     // of this writer, from 1 on
	writerPromised = "DSAT_TEST_WRITER_PROMISED" // every record up to this one must be there
	writerReleased = "DSAT_TEST_WRITER_RELEASED" // but for those below this one
	writerGaps     = "DSAT_TEST_WRITER_GAPS"     // and these, which were lost before anybody was promised them
)

// What a writer tells: a kind and two numbers.
const (
	tellsCommitted = 'c' // up to a sequence
	tellsReleased  = 'r' // below a sequence, before it does
	tellsGap       = 'g' // a sequence that is not there
	tellsSynced    = 's' // an inode, and up to which offset it is on disk: before anything is written that relies on it
	tellsLength    = 17
)

// watched is a disk that tells what was synced.
type watched struct {
	journal.FS
	w *writer
}

type watchedFile struct {
	journal.File
	w     *writer
	inode uint64
	end   int64
}

func (d watched) Create(path string) (journal.File, error) {
	f, err := d.FS.Create(path)
	if err != nil {
		return nil, err
	}
	inode, err := inodeOf(path)
	return &watchedFile{File: f, w: d.w, inode: inode}, err
}

func inodeOf(path string) (uint64, error) {
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	return st.Ino, err
}

func (f *watchedFile) WriteAt(b []byte, off int64) (int, error) {
	f.end = max(f.end, off+int64(len(b)))
	return f.File.WriteAt(b, off)
}

func (f *watchedFile) Sync() error {
	err := f.File.Sync()
	if err == nil {
		f.w.tell(tellsSynced, f.inode, uint64(f.end))
	}
	return err
}

// bodyOf is what a life writes as some record: its number, the record's, and bytes that follow from both.
func bodyOf(life uint32, seq uint64) []byte {
	rnd := rand.New(rand.NewPCG(seq, uint64(life)))
	n := rnd.IntN(600)
	if rnd.IntN(60) == 0 {
		n = rnd.IntN(20_000)
	}
	b := binary.LittleEndian.AppendUint32(nil, life)
	b = binary.LittleEndian.AppendUint64(b, seq)
	for range n {
		b = append(b, byte(rnd.Uint32()))
	}
	return b
}

// TestWriter is no test but the process that TestKilledWriters kills.
func TestWriter(t *testing.T) {
	dir := os.Getenv(writerDir)
	if dir == "" {
		t.Skip("only as a process of TestKilledWriters")
	}
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(os.Getenv(name), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w := &writer{dir: dir, life: uint32(number(writerLife)), promised: number(writerPromised), released: number(writerReleased)}
	w.rnd = rand.New(rand.NewPCG(uint64(w.life), uint64(os.Getpid())))
	for _, gap := range strings.Fields(os.Getenv(writerGaps)) {
		n, err := strconv.ParseUint(gap, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		w.gaps = append(w.gaps, n)
	}
	if err := w.live(); err != nil {
		t.Fatal(err)
	}
}

type writer struct {
	dir                string
	life               uint32
	promised, released uint64
	gaps               []uint64
	rnd                *rand.Rand
	log                *journal.Log
	mu                 sync.Mutex
	committed          uint64
	gapless            bool // it has told what is not there among what is committed
	silent             bool
}

func (w *writer) tell(kind byte, seq, at uint64) {
	if w.silent {
		return
	}
	b := append(make([]byte, 0, tellsLength), kind)
	b = binary.LittleEndian.AppendUint64(b, seq)
	_, _ = os.Stdout.Write(binary.LittleEndian.AppendUint64(b, at)) // in one piece, for it is short
}

// live writes until somebody kills it.
func (w *writer) live() error {
	for {
		if err := w.open(); err != nil {
			return err
		}
		for range 1 + w.rnd.IntN(400) {
			w.write()
			if w.rnd.IntN(30) == 0 {
				w.letGo()
			}
		}
		if err := w.log.Close(); err != nil {
			return err
		}
		w.mu.Lock()
		w.promised = max(w.promised, w.committed)
		w.mu.Unlock()
	}
}

func (w *writer) open() error {
	w.gapless = false
	log, err := journal.Open(w.dir, journal.Options{Segment: 32 << 10, FS: watched{journal.RealDisk(), w}, Committed: func(seq uint64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.committed = seq; w.gapless {
			w.tell(tellsCommitted, seq, 0)
		}
	}})
	if err != nil {
		return err
	}
	w.log = log
	seen, before, life := map[uint64]bool{}, uint64(0), uint32(0)
	if err := log.Replay(func(r journal.Record) error {
		if len(r.Body) < 12 || r.Seq <= before {
			return fmt.Errorf("record %d of %d bytes after record %d", r.Seq, len(r.Body), before)
		}
		wrote := binary.LittleEndian.Uint32(r.Body)
		if wrote < life || wrote > w.life || !bytes.Equal(r.Body, bodyOf(wrote, r.Seq)) {
			return fmt.Errorf("record %d of life %d, after some of life %d, is not what was written", r.Seq, wrote, life)
		}
		before, life, seen[r.Seq] = r.Seq, wrote, true
		return nil
	}); err != nil {
		return err
	}
	for seq := max(w.released, 1); seq <= log.Last(); seq++ {
		switch {
		case seen[seq] || slices.Contains(w.gaps, seq):
		case seq > w.promised:
			w.gaps = append(w.gaps, seq)
			w.tell(tellsGap, seq, 0)
		default:
			return fmt.Errorf("record %d is lost: promised up to %d, released below %d, %d served up to %d; %+v", seq, w.promised, w.released, len(seen), before, log.Report())
		}
	}
	if r := log.Report(); !r.Clean() {
		return fmt.Errorf("damage without a cause: %+v", r)
	}
	if log.Last() < w.promised {
		return fmt.Errorf("the next record is %d, and %d was promised", log.Last()+1, w.promised)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gapless = true
	w.tell(tellsCommitted, w.committed, 0)
	return nil
}

func (w *writer) write() {
	for range 1 + w.rnd.IntN(8) {
		seq := w.log.Last() + 1
		if got, _ := w.log.Append(1, bodyOf(w.life, seq)); got != seq {
			panic(fmt.Sprintf("record %d is %d", seq, got))
		}
	}
	if w.log.Flush(); w.rnd.IntN(4) == 0 {
		time.Sleep(time.Duration(w.rnd.IntN(400)) * time.Microsecond) // so that batches differ
	}
}

func (w *writer) letGo() {
	w.mu.Lock()
	upTo := w.committed
	w.mu.Unlock()
	if upTo <= w.released {
		return
	}
	w.released += w.rnd.Uint64N(upTo - w.released + 1)
	w.tell(tellsReleased, w.released, 0)
	w.log.Release(w.released)
}

// A process that writes to a log is killed at random moments, in its start and its recovery too. After every second kill the machine has
// lost its power as well: of what was not synced any sector may be gone. Whatever a writer was told is committed is there for the next one,
// intact and in order, and nothing else is but what was written. `make soak` does it 10,000 times.
func TestKilledWriters(t *testing.T) {
	t.Parallel()
	kills := *writerKills
	if testing.Short() {
		kills = min(kills, 12)
	}
	const logs = 2
	for n := range logs {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano()) + uint64(n)
			t.Logf("seed %d", seed)
			k := &killer{t: t, dir: filepath.Join(t.TempDir(), "log"), rnd: rand.New(rand.NewPCG(seed, 1)), synced: map[uint64]uint64{}}
			for life := range uint32((kills + logs - 1) / logs) {
				k.kill(life + 1)
				if k.rnd.IntN(2) == 0 {
					k.losePower()
				}
			}
			t.Logf("%d kills, %d of them with the loss of power and of %d sectors: %d records were promised, those below %d were let go of", (kills+logs-1)/logs, k.lost, k.torn, k.promised, k.released)
			if k.promised == 0 && !testing.Short() {
				t.Error("no writer came far enough to be promised anything")
			}
			w := &writer{dir: k.dir, life: 1 << 30, promised: k.promised, released: k.released, gaps: k.gaps, silent: true}
			if err := w.open(); err != nil {
				t.Fatal(err)
			}
			if err := w.log.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

type killer struct {
	t                  *testing.T
	dir                string
	rnd                *rand.Rand
	promised, released uint64
	gaps               []uint64
	synced             map[uint64]uint64 // by inode: bytes that are on disk
	lost, torn         int
}

// kill lets a writer live for a moment.
func (k *killer) kill(life uint32) {
	k.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestWriter$", "-test.count=1")
	cmd.Env = append(os.Environ(), writerDir+"="+k.dir, fmt.Sprintf("%s=%d", writerLife, life),
		fmt.Sprintf("%s=%d", writerPromised, k.promised), fmt.Sprintf("%s=%d", writerReleased, k.released),
		writerGaps+"="+strings.Trim(fmt.Sprint(k.gaps), "[]"))
	var says bytes.Buffer
	cmd.Stderr = &says
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	dead := time.AfterFunc(time.Duration(k.rnd.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() }) // it may have failed
	text := k.listen(out)
	dead.Stop()
	_ = cmd.Process.Kill() // likewise
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		k.t.Fatalf("life %d ended by itself: %v\n%s%s", life, err, text, &says)
	}
}

// listen takes what a writer tells until it is dead, and returns what it says otherwise.
func (k *killer) listen(r io.Reader) string {
	var b [tellsLength]byte
	for {
		if n, err := io.ReadFull(r, b[:]); err != nil {
			return string(b[:n])
		}
		seq, at := binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[9:])
		switch b[0] {
		case tellsCommitted:
			k.promised = max(k.promised, seq)
		case tellsReleased:
			k.released = max(k.released, seq)
			k.gaps = slices.DeleteFunc(k.gaps, func(gap uint64) bool { return gap < k.released })
		case tellsGap:
			k.gaps = append(k.gaps, seq)
		case tellsSynced:
			k.synced[seq] = at
		default:
			rest, _ := io.ReadAll(io.LimitReader(r, 1<<16))
			return string(b[:]) + string(rest)
		}
	}
}

// losePower takes away any of the sectors that were written and not synced.
func (k *killer) losePower() {
	names, err := filepath.Glob(filepath.Join(k.dir, "*.seg"))
	if err != nil {
		k.t.Fatal(err)
	}
	odds := k.rnd.Float64()
	for _, path := range names {
		inode, err := inodeOf(path)
		if err != nil {
			k.t.Fatal(err)
		}
		k.tear(path, int64(k.synced[inode]), odds)
	}
	k.lost++
}

// tear makes zeros of some sectors of a file from an offset on.
func (k *killer) tear(path string, from int64, odds float64) {
	const sector = 512
	data, err := os.ReadFile(path)
	if err != nil {
		k.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	for off := from; off < int64(len(data)); off = (off/sector + 1) * sector {
		end := min((off/sector+1)*sector, int64(len(data)))
		if k.rnd.Float64() < odds && slices.ContainsFunc(data[off:end], func(c byte) bool { return c != 0 }) {
			if _, err := f.WriteAt(make([]byte, end-off), off); err != nil {
				k.t.Fatal(err)
			}
			k.torn++
		}
	}
	if err := f.Close(); err != nil {
		k.t.Fatal(err)
	}
}
