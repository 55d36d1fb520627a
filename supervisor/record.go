package supervisor

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/dsat/dsat/topology"
)

// record is what survives the daemon: before every fork that it is intended, after it which process it became, at its end that it
// ended. It is written, not synced: the page cache survives kill -9, and after a power loss the boot id says that all are gone.
//
//	dsat-record 1 BOOT-ID
//	intend cpu:0 4294967297
//	spawned cpu:0 4294967297 PID START      (start time in clock ticks, as /proc/PID/stat has it; 0 unknown)
//	ended cpu:0 4294967297
//
// Several daemons' lives follow each other in one file until it is compacted.
type record struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	f       *os.File
	size    int64
	open    map[recordKey]recordEntry
	failing bool
}

type recordKey struct {
	ref topology.Ref
	inc topology.Incarnation
}

// recordEntry is a life without an end. PID is 0 when only the intent was written.
type recordEntry struct {
	recordKey
	kin
}

const (
	recordMagic = "dsat-record 1 "
	recordLimit = 1 << 20 // compacted beyond
)

// openRecord opens the record of a run directory and returns the lives an earlier daemon of this boot has left open.
func openRecord(path string, log *slog.Logger) (*record, []recordEntry, error) {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, nil, fmt.Errorf("cannot read the record of processes: %w", err)
	}
	boot := bootID()
	left, good := parseRecord(text, boot)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the record of processes: %w", err)
	}
	// A torn last line is cut, so that the next does not grow onto it.
	if err := f.Truncate(int64(good)); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("cannot mend the record of processes: %w", err)
	}
	r := &record{path: path, log: log, f: f, size: int64(good), open: make(map[recordKey]recordEntry)}
	if good == 0 {
		r.append(recordMagic + boot + "\n")
	}
	for _, e := range left {
		r.open[e.recordKey] = e
	}
	return r, left, nil
}

// parseRecord returns the lives without an end, and how many bytes of whole lines of a record there are. What another boot wrote
// counts for nothing.
func parseRecord(text []byte, boot string) (left []recordEntry, good int) {
	header, rest, ok := bytes.Cut(text, []byte("\n"))
	id, magic := strings.CutPrefix(string(header), recordMagic)
	if !ok || !magic || id != boot {
		return nil, 0
	}
	good = len(header) + 1
	open := make(map[recordKey]recordEntry)
	var keys []recordKey
	for len(rest) > 0 {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			break
		}
		e, word, ok := parseRecordLine(string(line))
		if !ok {
			break
		}
		if _, known := open[e.recordKey]; !known && word != "ended" {
			keys = append(keys, e.recordKey)
		}
		if word == "ended" {
			delete(open, e.recordKey)
		} else {
			open[e.recordKey] = e
		}
		good += len(line) + 1
		rest = after
	}
	for _, k := range keys {
		if e, ok := open[k]; ok {
			left = append(left, e)
			delete(open, k)
		}
	}
	return left, good
}

func parseRecordLine(line string) (e recordEntry, word string, ok bool) {
	f := strings.Split(line, " ")
	if len(f) < 3 || f[0] != "spawned" && len(f) != 3 || f[0] == "spawned" && len(f) != 5 {
		return e, "", false
	}
	ref, err := topology.ParseRef(f[1])
	if err != nil {
		return e, "", false
	}
	inc, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return e, "", false
	}
	e.recordKey = recordKey{ref, topology.Incarnation(inc)}
	switch f[0] {
	case "intend", "ended":
		return e, f[0], true
	case "spawned":
		e.pid, err = strconv.Atoi(f[3])
		if err != nil || e.pid <= 1 {
			return e, "", false
		}
		e.start, err = strconv.ParseUint(f[4], 10, 64)
		return e, f[0], err == nil
	}
	return e, "", false
}

func (e recordEntry) line() string {
	if e.pid == 0 {
		return fmt.Sprintf("intend %s %d\n", e.ref, uint64(e.inc))
	}
	return fmt.Sprintf("spawned %s %d %d %d\n", e.ref, uint64(e.inc), e.pid, e.start)
}

func (r *record) intend(ref topology.Ref, inc topology.Incarnation) {
	r.put(recordEntry{recordKey: recordKey{ref, inc}})
}

func (r *record) spawned(ref topology.Ref, inc topology.Incarnation, pid int, start uint64) {
	r.put(recordEntry{recordKey{ref, inc}, kin{pid, start}})
}

func (r *record) put(e recordEntry) {
	line := e.line()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[e.recordKey] = e
	r.append(line)
}

// ended: nothing is left of it.
func (r *record) ended(ref topology.Ref, inc topology.Incarnation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, recordKey{ref, inc})
	r.append(fmt.Sprintf("ended %s %d\n", ref, uint64(inc)))
	if r.size > recordLimit {
		r.compact()
	}
}

// append writes. A record that cannot be written stops nothing: orphans are still found by their environment.
func (r *record) append(line string) {
	n, err := r.f.WriteString(line)
	r.size += int64(n)
	if err != nil && !r.failing {
		r.log.Error("cannot write the record of processes", "file", r.path, "error", err)
	}
	r.failing = err != nil
}

// forget drops what an earlier daemon left; it is gone now.
func (r *record) forget(left []recordEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range left {
		delete(r.open, e.recordKey)
	}
	r.compact()
}

// compact replaces the file by what is still true.
func (r *record) compact() {
	var text strings.Builder
	text.WriteString(recordMagic + bootID() + "\n")
	for _, e := range r.open {
		text.WriteString(e.line())
	}
	f, err := os.OpenFile(r.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err == nil {
		if _, err = f.WriteString(text.String()); err == nil {
			err = os.Rename(r.path+".new", r.path)
		}
		if err != nil {
			f.Close()
		}
	}
	if err != nil {
		r.log.Error("cannot compact the record of processes; it grows on", "file", r.path, "error", err)
		r.size = 0 // try again after as much again
		return
	}
	r.f.Close()
	r.f, r.size = f, int64(text.Len())
}

func (r *record) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.f.Close()
}
