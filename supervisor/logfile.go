package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// logFile is a file that is renamed to .1, .2, ... when it is full. A disk that is full or slow stops nothing: lines are counted as
// lost, and it is said once, and once more when it is over. All but lost belongs to the writer's goroutine.
type logFile struct {
	path    string
	max     int64 // bytes; 0: never rotated
	keep    int
	lost    atomic.Uint64
	f       *os.File
	size    int64
	failing bool
}

func (l *logFile) write(p []byte) error {
	if l.f == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.max > 0 && l.size > 0 && l.size+int64(len(p)) > l.max {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return err
}

func (l *logFile) open() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.f, l.size = f, info.Size()
	return nil
}

func (l *logFile) rotate() error {
	l.f.Close()
	l.f = nil
	if l.keep <= 0 {
		if err := os.Remove(l.path); err != nil && !os.IsNotExist(err) {
			return err
		}
		return l.open()
	}
	for n := l.keep - 1; n >= 0; n-- {
		from := l.path
		if n > 0 {
			from = fmt.Sprintf("%s.%d", l.path, n)
		}
		if err := os.Rename(from, fmt.Sprintf("%s.%d", l.path, n+1)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return l.open()
}

// logWriter writes all files from one goroutine, so that a slow disk holds up nobody: what does not fit its buffer is lost and counted.
type logWriter struct {
	log  *slog.Logger
	mu   sync.Mutex
	todo []chunk
	held int // bytes in todo
	wake chan struct{}
	open map[*logFile]struct{} // the goroutine's own
	anew atomic.Bool           // the files are to be opened anew
}

type chunk struct {
	file  *logFile
	data  []byte
	lines int
}

const logBuffer = 8 << 20

func newLogWriter(log *slog.Logger) *logWriter {
	return &logWriter{log: log, wake: make(chan struct{}, 1), open: make(map[*logFile]struct{})}
}

// put queues lines as "TIME out|err TEXT".
func (w *logWriter) put(f *logFile, at time.Time, s Stream, texts [][]byte) {
	size := 0
	for _, t := range texts {
		size += len(t) + 32
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held+size > logBuffer {
		f.lost.Add(uint64(len(texts)))
		return
	}
	prefix := at.AppendFormat(make([]byte, 0, 32), "2006-01-02T15:04:05.000Z07:00")
	if prefix = append(prefix, " out "...); s == Stderr {
		copy(prefix[len(prefix)-4:], "err")
	}
	data := make([]byte, 0, size)
	for _, t := range texts {
		data = append(data, prefix...)
		data = append(data, t...)
		data = append(data, '\n')
	}
	w.todo = append(w.todo, chunk{f, data, len(texts)})
	w.held += size
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes until the context ends, then what is left.
func (w *logWriter) run(ctx context.Context) {
	for {
		select {
		case <-w.wake:
			w.flush()
			if w.anew.Swap(false) {
				w.shut()
			}
		case <-ctx.Done():
			w.flush()
			w.shut()
			return
		}
	}
}

// shut closes all files; what comes later opens them again.
func (w *logWriter) shut() {
	for f := range w.open {
		f.f.Close()
		f.f = nil
	}
	clear(w.open)
}

// reopen closes the files after what was written so far, so that the next line goes to a new one where somebody has moved the old.
func (w *logWriter) reopen() {
	w.anew.Store(true)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// ReopenLogs opens the log files anew with their next line, for a rotation from outside. It returns at once.
func (s *Supervisor) ReopenLogs() { s.writer.reopen() }

func (w *logWriter) flush() {
	w.mu.Lock()
	todo := w.todo
	w.todo = nil
	w.mu.Unlock()
	for _, c := range todo {
		w.write(c)
		w.mu.Lock()
		w.held -= len(c.data)
		w.mu.Unlock()
	}
	w.mu.Lock()
	if len(w.todo) == 0 {
		w.held = 0
	}
	w.mu.Unlock()
}

func (w *logWriter) write(c chunk) {
	err := c.file.write(c.data)
	if c.file.f != nil {
		w.open[c.file] = struct{}{}
	} else {
		delete(w.open, c.file)
	}
	switch {
	case err != nil:
		c.file.lost.Add(uint64(c.lines))
		if !c.file.failing {
			w.log.Error("cannot write a log file; its lines are lost until it can be written again", "file", c.file.path, "error", err)
		}
		c.file.failing = true
	case c.file.failing:
		c.file.failing = false
		w.log.Info("the log file can be written again", "file", c.file.path, "lost", c.file.lost.Load())
	}
}
