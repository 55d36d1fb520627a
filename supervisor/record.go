package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dsat/dsat/topology"
)

// record is what survives the daemon: before every fork that it is intended, after it which process it became, at its end that it
// ended. It is written, not synced: the page cache survives kill -9, and after a power loss the boot id says that all are gone.
//
//	dsat-record 3 BOOT-ID
//	intend cpu:0 4294967297
//	spawned cpu:0 4294967297 PID START SPEC OUT ERR [FD]   (start time in clock ticks, as /proc/PID/stat has it, 0 unknown; a word for what
//	                                                   it was started as; inodes of its output pipes, and of that of ready.fd; 0 none)
//	says cpu:0 4294967297 LINE                        (a plugin's handshake, to the end of the line)
//	ready cpu:0 4294967297                            (where readiness cannot be seen again: a log line, a delay)
//	main cpu:0 4294967297 PID START                   (another process is its main one: MAINPID)
//	ended cpu:0 4294967297
//
// and lines about those that have no process (rest.go).
// Several daemons' lives follow each other in one file until it is compacted.
type record struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	f       *os.File
	size    int64
	limit   int64 // beyond it is compacted
	open    map[recordKey]recordEntry
	past    standing
	over    bool        // nothing of past holds for the next dsatd
	failing bool        // the file is behind
	retry   *time.Timer // while it is
	closed  bool
}

type recordKey struct {
	ref topology.Ref
	inc topology.Incarnation
}

// recordEntry is a life without an end. PID is 0 when only the intent was written.
type recordEntry struct {
	recordKey
	kin
	spec      string
	pipes     [3]uint64 // inodes: stdout, stderr, ready.fd
	ready     bool
	main      kin // its main process, when it is another; pid 0: it is not
	handshake string
}

// living is the main process.
func (e *recordEntry) living() kin {
	if e.main.pid != 0 {
		return e.main
	}
	return e.kin
}

const (
	recordMagic = "dsat-record 3 "
	recordLimit = 1 << 20
	recordRetry = time.Second
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
	r := &record{path: path, log: log, f: f, size: int64(good), limit: recordLimit, open: make(map[recordKey]recordEntry), past: standingOf(text[:good])}
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
		if kind, _, _ := strings.Cut(string(line), " "); restFields[kind] > 0 {
			if nowhere := newStanding(); !nowhere.read(string(line)) {
				break
			}
			good += len(line) + 1
			rest = after
			continue
		}
		e, word, ok := parseRecordLine(string(line))
		if !ok {
			break
		}
		now, known := open[e.recordKey]
		if !known && (word == "intend" || word == "spawned") {
			keys = append(keys, e.recordKey)
		}
		switch word {
		case "ended":
			delete(open, e.recordKey)
		case "ready", "says", "main":
			if now.pid != 0 {
				now.ready = now.ready || e.ready
				if e.main.pid != 0 {
					now.main = e.main
				}
				now.handshake += e.handshake // told once
				open[e.recordKey] = now
			}
		default:
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

// recordFields is how many fields a line of each kind has; the last one of says may hold spaces.
var recordFields = map[string]int{"intend": 3, "spawned": 8, "says": 4, "ready": 3, "main": 5, "ended": 3}

func parseRecordLine(line string) (e recordEntry, word string, ok bool) {
	word, _, _ = strings.Cut(line, " ")
	f := strings.Split(line, " ")
	if word == "says" {
		f = strings.SplitN(line, " ", 4)
	}
	if len(f) < 3 || len(f) != recordFields[word] && (word != "spawned" || len(f) != recordFields[word]+1) {
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
	switch word {
	case "spawned":
		return e, word, e.parseSpawned(f[3:])
	case "says":
		e.handshake = f[3]
	case "ready":
		e.ready = true
	case "main":
		return e, word, e.parseMain(f[3:])
	}
	return e, word, true
}

func (e *recordEntry) parseSpawned(f []string) bool {
	var errs [5]error
	e.pid, errs[0] = strconv.Atoi(f[0])
	e.start, errs[1] = strconv.ParseUint(f[1], 10, 64)
	e.spec = f[2]
	e.pipes[0], errs[2] = strconv.ParseUint(f[3], 10, 64)
	e.pipes[1], errs[3] = strconv.ParseUint(f[4], 10, 64)
	if len(f) > 5 {
		e.pipes[2], errs[4] = strconv.ParseUint(f[5], 10, 64)
	}
	return e.pid > 1 && e.spec != "" && errors.Join(errs[:]...) == nil
}

func (e *recordEntry) parseMain(f []string) bool {
	var errs [2]error
	e.main.pid, errs[0] = strconv.Atoi(f[0])
	e.main.start, errs[1] = strconv.ParseUint(f[1], 10, 64)
	return e.main.pid > 1 && errors.Join(errs[:]...) == nil
}

// line is the entry as it is written, in as many lines as it needs.
func (e recordEntry) line() string {
	key := fmt.Sprintf("%s %d", e.ref, uint64(e.inc))
	if e.pid == 0 {
		return "intend " + key + "\n"
	}
	text := fmt.Sprintf("spawned %s %d %d %s %d %d", key, e.pid, e.start, e.spec, e.pipes[0], e.pipes[1])
	if e.pipes[2] != 0 {
		text += fmt.Sprintf(" %d", e.pipes[2])
	}
	text += "\n"
	if e.handshake != "" {
		text += "says " + key + " " + e.handshake + "\n"
	}
	if e.main.pid != 0 {
		text += fmt.Sprintf("main %s %d %d\n", key, e.main.pid, e.main.start)
	}
	if e.ready {
		text += "ready " + key + "\n"
	}
	return text
}

func (r *record) intend(ref topology.Ref, inc topology.Incarnation) {
	r.put(recordEntry{recordKey: recordKey{ref, inc}})
}

// put notes the intent or, with a pid, the process.
func (r *record) put(e recordEntry) {
	line := e.line()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[e.recordKey] = e
	r.append(line)
}

// says notes the handshake of a plugin.
func (r *record) says(ref topology.Ref, inc topology.Incarnation, handshake string) {
	handshake = oneLine(handshake)
	r.more(ref, inc, "says %s %d "+strings.ReplaceAll(handshake, "%", "%%")+"\n", func(e *recordEntry) { e.handshake = handshake })
}

// ready notes that it was ready once.
func (r *record) ready(ref topology.Ref, inc topology.Incarnation) {
	r.more(ref, inc, "ready %s %d\n", func(e *recordEntry) { e.ready = true })
}

// main notes that another process is the main one.
func (r *record) main(ref topology.Ref, inc topology.Incarnation, k kin) {
	r.more(ref, inc, fmt.Sprintf("main %%s %%d %d %d\n", k.pid, k.start), func(e *recordEntry) { e.main = k })
}

func (r *record) more(ref topology.Ref, inc topology.Incarnation, format string, change func(*recordEntry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, known := r.open[recordKey{ref, inc}]
	if before := e; known {
		if change(&e); e != before {
			r.open[e.recordKey] = e
			r.append(fmt.Sprintf(format, ref, uint64(inc)))
		}
	}
}

// ended: nothing is left of it.
func (r *record) ended(ref topology.Ref, inc topology.Incarnation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, recordKey{ref, inc})
	r.append(fmt.Sprintf("ended %s %d\n", ref, uint64(inc)))
	if r.size > r.limit {
		r.compact()
	}
}

// append writes a line of what is in open already. A record that cannot be written stops nothing: orphans are still found by their
// environment. What is missing in the file is written when the disk takes it again, all that is true by then at once.
func (r *record) append(line string) {
	if r.failing {
		r.recover()
		return
	}
	n, err := r.f.WriteString(line)
	if err == nil {
		r.size += int64(n)
		return
	}
	r.log.Error("cannot write the record of processes: until it can be written again, a dsatd after this one replaces those it does not know", "file", r.path, "error", err)
	_ = r.f.Truncate(r.size) // a line grown onto half of one would make the rest of the file unreadable
	r.failing = true
	r.again()
}

// again looks later, for nothing may happen that is to be recorded.
func (r *record) again() {
	r.retry = time.AfterFunc(recordRetry, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failing && !r.closed && !r.recover() {
			r.again()
		}
	})
}

// whole returns an error while the file does not tell all.
func (r *record) whole() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing && !r.recover() {
		return fmt.Errorf("the record of processes %s cannot be written", r.path)
	}
	return nil
}

func (r *record) recover() bool {
	if r.replace() != nil {
		return false
	}
	r.failing = false
	r.retry.Stop()
	r.log.Info("the record of processes can be written again", "file", r.path)
	return true
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

// compact makes the file as short as can be.
func (r *record) compact() {
	if r.failing {
		r.recover()
		return
	}
	if err := r.replace(); err != nil {
		r.log.Error("cannot compact the record of processes; it grows on", "file", r.path, "error", err)
		r.limit = r.size + recordLimit // try again after as much again
	}
}

// replace puts a file of what is still true in the place of the one there is.
func (r *record) replace() error {
	var text strings.Builder
	text.WriteString(recordMagic + bootID() + "\n")
	for _, e := range r.open {
		text.WriteString(e.line())
	}
	text.WriteString(r.past.lines())
	f, err := os.OpenFile(r.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(text.String()); err == nil {
		err = os.Rename(r.path+".new", r.path)
	}
	if err != nil {
		f.Close()
		_ = os.Remove(r.path + ".new") // half a file takes room that somebody else could use
		return err
	}
	r.f.Close()
	r.f, r.size = f, int64(text.Len())
	r.limit = max(recordLimit, 2*r.size)
	return nil
}

func (r *record) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.retry != nil {
		r.retry.Stop()
	}
	r.f.Close()
}
