package journal

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkGroups is the rate of records that are on disk: groups of n are appended and flushed, and the next one is begun when
// the last but one is committed, so that one forms while one is synced. The directory is DSAT_BENCH_DIR, or a temporary one.
func BenchmarkGroups(b *testing.B) {
	for _, size := range []int{64, 256, 1024} {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%dB/%d", size, n), func(b *testing.B) { groups(b, size, n) })
		}
	}
}

func benchDir(b *testing.B) string {
	parent := os.Getenv("DSAT_BENCH_DIR")
	if parent == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "journal-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func groups(b *testing.B, size, n int) {
	committed := make(chan uint64, 1<<16)
	l := open(b, benchDir(b), Options{Committed: func(seq uint64) { committed <- seq }})
	replayAll(b, l)
	body := make([]byte, size)
	var done, last, before uint64
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += n {
		for range n {
			last, _ = l.Append(1, body)
		}
		l.Flush()
		for done < before {
			done = <-committed
		}
		before = last
		l.Release(done)
	}
	for done < last {
		done = <-committed
	}
	b.StopTimer()
	s := l.Stats()
	b.ReportMetric(float64(s.Records)/b.Elapsed().Seconds()/1000, "k/s")
	b.ReportMetric(float64(s.SyncTime.Microseconds())/float64(s.Syncs), "us/sync")
	b.ReportMetric(float64(s.Records)/float64(s.Groups), "records/group")
	shut(b, l)
}

// BenchmarkFloor is what the disk gives: the same bytes as a group of records of 256 B, by pwrite and fdatasync into a file
// that was allocated before (as segments are), and into one whose blocks were written before.
func BenchmarkFloor(b *testing.B) {
	for _, filled := range []bool{false, true} {
		for _, n := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("filled=%v/256B/%d", filled, n), func(b *testing.B) { floor(b, filled, n) })
		}
	}
}

func floor(b *testing.B, filled bool, n int) {
	const length = 64 << 20
	f, err := os.Create(benchDir(b) + "/floor")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, length); err != nil {
		b.Fatal(err)
	}
	if filled {
		if _, err := f.WriteAt(make([]byte, length), 0); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	group := make([]byte, n*(recordHeader+256)+markSize)
	var off int64
	b.ResetTimer()
	begun := time.Now()
	for i := 0; i < b.N; i += n {
		if off+int64(len(group)) > length {
			if off = 0; !filled { // a new file, as the log does
				if err := unix.Ftruncate(int(f.Fd()), 0); err != nil {
					b.Fatal(err)
				}
				if err := unix.Fallocate(int(f.Fd()), 0, 0, length); err != nil {
					b.Fatal(err)
				}
			}
		}
		if _, err := f.WriteAt(group, off); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
		off += int64(len(group))
	}
	b.ReportMetric(float64(b.N)/time.Since(begun).Seconds()/1000, "k/s")
}

// BenchmarkAppend is what an append costs its owner; it must not allocate.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{64, 256, 1024} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			l := open(b, benchDir(b), Options{})
			replayAll(b, l)
			head, body := make([]byte, 24), make([]byte, size-24)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				l.Append(1, head, body)
				if i%64 == 63 {
					l.Flush()
				}
				for i%64 == 63 && l.Full() {
					b.StopTimer()
					time.Sleep(time.Millisecond)
					b.StartTimer()
				}
				if i%(1<<16) == 0 {
					l.Release(l.Committed())
				}
			}
			b.StopTimer()
			shut(b, l)
		})
	}
}
