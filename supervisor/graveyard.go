package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// graveyard is the history of deaths, a file that survives the daemon: a line each, the newest deathsKept of each instance. One
// goroutine writes, so that a full or slow disk holds up nobody; what is not written yet is in memory.
type graveyard struct {
	path string // "": in memory only
	log  *slog.Logger
	wake chan struct{}
	sync chan chan struct{} // answered when all was written that the disk takes

	mu   sync.Mutex
	todo []Death // not written, oldest first

	writing sync.Mutex // held over every use of the file; guards what follows
	size    int64      // -1: not looked at yet
	failing bool
}

const (
	historyLimit = 4 << 20 // bytes of the file: beyond, it is compacted
	historyHeld  = 10_000  // deaths in memory while the disk takes none
)

func newGraveyard(path string, log *slog.Logger) *graveyard {
	return &graveyard{path: path, log: log, wake: make(chan struct{}, 1), sync: make(chan chan struct{}), size: -1}
}

// add remembers a death; it never blocks.
func (g *graveyard) add(d Death) {
	g.mu.Lock()
	g.todo = append(g.todo, d)
	g.thin()
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// thin bounds what waits.
func (g *graveyard) thin() {
	if len(g.todo) > historyHeld {
		g.todo = slices.Clone(newestDeaths(g.todo))
	}
	if extra := len(g.todo) - historyHeld/2; extra > 0 && len(g.todo) > historyHeld {
		g.todo = slices.Delete(g.todo, 0, extra)
	}
}

// run writes until the context ends, and then what is left.
func (g *graveyard) run(ctx context.Context) {
	for g.path == "" {
		select {
		case answer := <-g.sync:
			close(answer)
		case <-ctx.Done():
			return
		}
	}
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		if !g.flush() {
			retry.Reset(10 * time.Second) // the disk is full, or gone; it may come back
		}
		select {
		case <-ctx.Done():
			g.flush()
			return
		case <-g.wake:
		case answer := <-g.sync:
			g.flush()
			close(answer)
		case <-retry.C:
		}
	}
}

// flush appends what waits; false: it could not, and waits on.
func (g *graveyard) flush() bool {
	g.writing.Lock()
	defer g.writing.Unlock()
	g.mu.Lock()
	batch := g.todo
	g.todo = nil
	g.mu.Unlock()
	if len(batch) == 0 {
		return true
	}
	if err := g.append(batch); err != nil {
		if !g.failing {
			g.log.Error("cannot write the history of deaths; it is kept in memory", "file", g.path, "error", err)
		}
		g.failing = true
		g.mu.Lock()
		g.todo = append(batch, g.todo...)
		g.thin()
		g.mu.Unlock()
		return false
	}
	g.failing = false
	if g.size > historyLimit {
		if err := g.compact(); err != nil {
			g.log.Error("cannot compact the history of deaths; it grows on", "file", g.path, "error", err)
			g.size = 0 // try again after as much again
		}
	}
	return true
}

func (g *graveyard) append(batch []Death) error {
	if err := os.MkdirAll(filepath.Dir(g.path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(g.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer f.Close()
	if g.size < 0 {
		if err := g.mend(f); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	for n := range batch {
		text.Write(batch[n].line())
	}
	if _, err := f.Write(text.Bytes()); err != nil {
		_ = f.Truncate(g.size) // what was written of it is written again
		g.size = -1            // and if that failed too, half a line stands there
		return err
	}
	g.size += int64(text.Len())
	return nil
}

// mend cuts a torn last line, so that the next does not grow onto it.
func (g *graveyard) mend(f *os.File) error {
	text, err := os.ReadFile(g.path)
	if err != nil {
		return err
	}
	good := bytes.LastIndexByte(text, '\n') + 1
	if err := f.Truncate(int64(good)); err != nil {
		return err
	}
	g.size = int64(good)
	return nil
}

// compact replaces the file by the newest deaths of each instance, at most half of what it may hold.
func (g *graveyard) compact() error {
	text, err := os.ReadFile(g.path)
	if err != nil {
		return err
	}
	all, _ := parseDeaths(text, nil)
	var lines [][]byte
	size := 0
	for _, d := range slices.Backward(newestDeaths(all)) {
		line := d.line()
		if size += len(line); size > historyLimit/2 {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	next := g.path + ".new"
	if err := os.WriteFile(next, bytes.Join(lines, nil), 0o640); err != nil {
		return err
	}
	if err := os.Rename(next, g.path); err != nil {
		return err
	}
	g.size = -1
	return nil
}

// of returns the newest deaths of the given instances, oldest first, at most deathsKept of each.
func (g *graveyard) of(refs []topology.Ref) ([]Death, error) {
	g.writing.Lock()
	defer g.writing.Unlock()
	wanted := make(map[topology.Ref]bool, len(refs))
	var begins [][]byte
	for _, ref := range refs {
		wanted[ref] = true
		name, err := json.Marshal(ref.Name)
		if err != nil {
			return nil, err
		}
		begins = append(begins, fmt.Appendf(nil, `{"name":%s,"wid":%d,`, name, ref.WID))
	}
	var all []Death
	if g.path != "" {
		text, err := os.ReadFile(g.path)
		if err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("cannot read the history of deaths: %w", err)
		}
		all, _ = parseDeaths(text, func(line []byte) bool {
			return slices.ContainsFunc(begins, func(b []byte) bool { return bytes.HasPrefix(line, b) })
		})
	}
	g.mu.Lock()
	for _, d := range g.todo {
		if wanted[d.Ref] {
			all = append(all, d)
		}
	}
	g.mu.Unlock()
	return newestDeaths(all), nil
}

// Deaths returns the newest deaths of instances, oldest first, at most 20 of each; also those of earlier daemons.
func (s *Supervisor) Deaths(refs []topology.Ref) ([]Death, error) { return s.graves.of(refs) }

// mourn remembers how a life ended.
func (s *Supervisor) mourn(l *life, e Exit) {
	s.graves.add(Death{
		Time: s.now(), Ref: l.of.ref, Inc: l.inc, PID: l.mainPID(), Asked: e.Asked, Motive: e.Motive, Cause: e.because(), Code: e.Code, Signal: e.Signal, Core: e.Core,
		Uptime: e.Uptime, Usage: e.Usage, Last: shorten(l.of.book.Last(lastLines, l.first)),
	})
}
