package logs

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// archivist removes and compresses rotated files. It has a goroutine, on a thread of the lowest priority, only while there is something to
// do; the writer never waits for it.
type archivist struct {
	log   *slog.Logger
	dir   string // "": there are no files
	total int64
	rules func() map[string]*topology.Log // by the name of the file that is written

	mu    sync.Mutex
	ctx   context.Context // of the writer's run; nil before it. Kept because rounds begin at any time of it
	again bool
	busy  bool
	wg    sync.WaitGroup
	names sync.RWMutex // held while a file gets another name: a listing meanwhile could miss both
	said  bool         // that something cannot be done
}

func (a *archivist) begin(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ctx = ctx
}

func (a *archivist) wait() { a.wg.Wait() }

// look asks for a round, now or after the present one.
func (a *archivist) look() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.again = true
	if a.busy || a.dir == "" || a.ctx == nil || a.ctx.Err() != nil {
		return
	}
	a.busy = true
	a.wg.Go(a.work)
}

func (a *archivist) work() {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and its priority with it
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19)
	const whoProcess, classIdle = 1, 3 << 13
	_, _, _ = unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, 0, classIdle) // refused at worst
	for {
		a.mu.Lock()
		if !a.again || a.ctx.Err() != nil {
			a.busy = false
			a.mu.Unlock()
			return
		}
		a.again = false
		a.mu.Unlock()
		err := a.round(time.Now())
		switch {
		case err == nil || errors.Is(err, context.Canceled):
			a.said = false
		case !a.said:
			a.log.Error("cannot tidy the log files", "dir", a.dir, "error", err)
			a.said = true
		}
	}
}

// round removes what is too much or too old, and then compresses.
func (a *archivist) round(now time.Time) error {
	left, err := filepath.Glob(filepath.Join(a.dir, "*.gz.tmp"))
	for _, path := range left { // of an earlier dsatd that was killed at it
		if _, ours := parseName(strings.TrimSuffix(filepath.Base(path), ".tmp")); ours {
			err = errors.Join(err, os.Remove(path))
		}
	}
	all, lerr := listFiles(a.dir)
	if err = errors.Join(err, lerr); err != nil {
		return err
	}
	rules := a.rules()
	doomed := condemn(all, rules, a.total, now)
	for _, s := range doomed {
		if rerr := os.Remove(filepath.Join(a.dir, s.name)); rerr != nil && !os.IsNotExist(rerr) {
			err = errors.Join(err, rerr)
		}
	}
	for _, s := range all {
		r := rules[s.base]
		if s.live || s.gz || r == nil || r.Compress != topology.LogGzip || !strings.HasSuffix(s.name, "Z") || slices.ContainsFunc(doomed, func(d segment) bool { return d.name == s.name }) {
			continue
		}
		if cerr := a.compress(filepath.Join(a.dir, s.name), s.end); cerr != nil && !os.IsNotExist(cerr) {
			return errors.Join(err, cerr)
		}
	}
	return err
}

// condemn chooses the files that have to go: beyond the number or the age that is kept, and the oldest of what is too much together, of a
// satellite or of all. What is being written always stays.
func condemn(all []segment, rules map[string]*topology.Log, total int64, now time.Time) (doomed []segment) {
	rotated := make(map[string]int) // not yet seen, by base
	for _, s := range all {
		if !s.live {
			rotated[s.base]++
		}
	}
	sum, limit := make(map[string]int64), make(map[string]int64) // by name of satellite
	var whole int64
	var kept []segment
	for _, s := range all {
		r := rules[s.base]
		if r != nil {
			limit[s.ref.Name] = r.Total
		}
		if !s.live {
			rank := rotated[s.base]
			rotated[s.base]--
			if r != nil && (rank > r.Keep || r.MaxAge > 0 && now.Sub(s.end) > r.MaxAge) {
				doomed = append(doomed, s)
				continue
			}
			kept = append(kept, s)
		}
		sum[s.ref.Name] += s.size
		whole += s.size
	}
	slices.SortStableFunc(kept, func(a, b segment) int { return a.end.Compare(b.end) })
	for _, s := range kept {
		most := limit[s.ref.Name]
		if most > 0 && sum[s.ref.Name] > most || total > 0 && whole > total {
			doomed = append(doomed, s)
			sum[s.ref.Name] -= s.size
			whole -= s.size
		}
	}
	return doomed
}

// compress makes NAME.gz of a file and removes it. Whatever happens in between, one of the two is whole.
func (a *archivist) compress(path string, end time.Time) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	temp := path + ".gz.tmp"
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, untilOver{a.ctx, in})
	err = errors.Join(err, z.Close())
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = os.Chtimes(temp, end, end)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	a.names.Lock()
	defer a.names.Unlock()
	if err = os.Rename(temp, path+".gz"); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Remove(path)
}

// list is listFiles, at a moment when every file has one name.
func (a *archivist) list() ([]segment, error) {
	a.names.RLock()
	defer a.names.RUnlock()
	return listFiles(a.dir)
}

// untilOver is a reader that ends with an error when its context ends.
type untilOver struct {
	ctx context.Context
	r   io.Reader
}

func (u untilOver) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
