package logs

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// writer writes all files from one goroutine, so that a slow disk holds up nobody: what does not fit its buffer is lost and counted.
// Lines are put into the form of the file when they come, so that one write takes all that has come meanwhile.
type writer struct {
	log     *slog.Logger
	archive *archivist
	wake    chan struct{}

	mu     sync.Mutex
	files  map[string]*file // by path
	todo   []*file          // with something pending
	held   int              // bytes pending
	stamp  stamper
	done   []chan struct{} // to be closed when all that is pending now was written
	room   []func()        // to be called when there is room again
	reopen bool
	ended  bool
	spare  []*pending

	open map[*file]struct{} // the goroutine's own
}

const (
	writeBuffer = 8 << 20   // bytes that may wait for all files
	writeShare  = 64 << 10  // that may wait for one, however much the others have
	writeCrowd  = 1 << 20   // for one whose satellite would rather wait
	spareSize   = 256 << 10 // a larger buffer is not kept
	spares      = 4
)

// newWriter makes the writer of the files in a directory, which are total bytes together at most; 0: without limit.
func newWriter(log *slog.Logger, dir string, total int64) *writer {
	w := &writer{log: log, wake: make(chan struct{}, 1), files: make(map[string]*file), open: make(map[*file]struct{})}
	w.archive = &archivist{log: log, dir: dir, total: total, rules: w.rules}
	return w
}

// rules are those of all files, by their names.
func (w *writer) rules() map[string]*topology.Log {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[string]*topology.Log, len(w.files))
	for path, f := range w.files {
		all[filepath.Base(path)] = f.rules.Load()
	}
	return all
}

// file is the one of that path, from now on under these rules.
func (w *writer) file(path string, rules *topology.Log) *file {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.files[path]
	if f == nil {
		f = &file{path: path, names: &w.archive.names}
		w.files[path] = f
	}
	f.rules.Store(rules)
	return f
}

// put queues lines; the n-th is of the time ns+n.
func (w *writer) put(f *file, ns int64, o *Origin, texts [][]byte) {
	size := 0
	for _, t := range texts {
		size += len(t) + textHead + 1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	mine := 0
	if f.pending != nil {
		mine = len(f.pending.data)
	}
	if w.ended || w.held+size > writeBuffer && mine+size > writeShare {
		f.lost.Add(uint64(len(texts)))
		return
	}
	if f.pending == nil {
		f.pending = w.buffer()
		w.todo = append(w.todo, f)
	}
	p := f.pending
	json := f.rules.Load().Format == topology.LogJSON
	for n, t := range texts {
		if json {
			p.data = appendJSON(p.data, &w.stamp, ns+int64(n), o, t)
		} else {
			p.data = appendText(p.data, &w.stamp, ns+int64(n), o.Stream, t)
		}
	}
	p.marks = append(p.marks, mark{len(p.data), ns})
	w.held += len(p.data) - mine
	w.rouse()
}

func (w *writer) buffer() *pending {
	if n := len(w.spare); n > 0 {
		p := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return p
	}
	return &pending{}
}

func (w *writer) rouse() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// crowded: so much waits for this file that its satellite should wait. f, if there is one, is called once, from the
// writer, when it need not any more.
func (w *writer) crowded(file *file, f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || file.pending == nil || len(file.pending.data) < writeCrowd && w.held < writeBuffer/2 {
		return false
	}
	if f != nil {
		w.room = append(w.room, f)
	}
	return true
}

// settle waits until all that was put before is written, if the disk is not slower than the context.
func (w *writer) settle(ctx context.Context) {
	written := make(chan struct{})
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return
	}
	w.done = append(w.done, written)
	w.rouse()
	w.mu.Unlock()
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// again closes all files, so that the next line opens what their names lead to by then.
func (w *writer) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reopen = true
	w.rouse()
}

// run writes until the context ends, then what is left.
func (w *writer) run(ctx context.Context) {
	w.archive.begin(ctx)
	hourly := time.NewTimer(0)
	hourly.Stop()
	defer hourly.Stop()
	w.tidy(hourly)
	for {
		select {
		case <-w.wake:
			w.flush()
		case <-hourly.C:
			w.tidy(hourly)
		case <-ctx.Done():
			w.flush()
			w.mu.Lock()
			w.ended = true
			w.mu.Unlock()
			w.flush()
			w.closeAll()
			w.archive.wait()
			return
		}
	}
}

// tidy looks at once at all that age may have overtaken, and again in an hour, if there is such a rule.
func (w *writer) tidy(hourly *time.Timer) {
	aged, any := false, false
	w.mu.Lock()
	for _, f := range w.files {
		any = true
		aged = aged || f.rules.Load().MaxAge > 0
	}
	w.mu.Unlock()
	if any {
		w.archive.look()
	}
	if aged {
		hourly.Reset(time.Hour)
	}
}

func (w *writer) closeAll() {
	for f := range w.open {
		f.close()
	}
	clear(w.open)
}

func (w *writer) flush() {
	w.mu.Lock()
	todo, done, again := w.todo, w.done, w.reopen
	w.todo, w.done, w.reopen = nil, nil, false
	w.mu.Unlock()
	if again {
		w.closeAll()
	}
	for _, f := range todo {
		w.mu.Lock()
		p := f.pending
		f.pending = nil
		w.mu.Unlock()
		size := len(p.data)
		w.write(f, p)
		w.mu.Lock()
		w.held -= size
		if cap(p.data) <= spareSize && len(w.spare) < spares {
			p.data, p.marks = p.data[:0], p.marks[:0]
			w.spare = append(w.spare, p)
		}
		w.mu.Unlock()
		w.letIn()
	}
	w.letIn()
	for _, c := range done {
		close(c)
	}
}

// letIn tells those who wait for room.
func (w *writer) letIn() {
	w.mu.Lock()
	room := w.room
	w.room = nil
	w.mu.Unlock()
	for _, f := range room {
		f()
	}
}

func (w *writer) write(f *file, p *pending) {
	lost, err := f.write(p, time.Now(), w.archive.look)
	if f.f != nil {
		w.open[f] = struct{}{}
	} else {
		delete(w.open, f)
	}
	f.lost.Add(uint64(lost))
	switch {
	case err != nil:
		if !f.failing {
			w.log.Error("cannot write a log file; its lines are lost until it can be written again", "file", f.path, "error", err)
		}
		f.failing = true
	case f.failing:
		f.failing = false
		w.log.Info("the log file can be written again", "file", f.path, "lost", f.lost.Load())
	}
}
