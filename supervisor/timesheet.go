package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/dsat/dsat/topology"
)

// timesheet is what survives the daemon of its schedules: a JSON file, written whole and renamed into its place, so that it is never
// half of one. A goroutine of its own writes, so that a full or slow disk holds up no run; only the newest state counts.
type timesheet struct {
	path string // "": nothing survives
	log  *slog.Logger
	next chan []byte // of capacity 1
	runs map[string]runLine
	due  []dueLine // as it was read

	last    []byte // what was handed to the writer before
	failing bool   // the writer's
}

// runLine is the last run of a satellite.
type runLine struct {
	Began  time.Time `json:"began,omitzero"`
	Ended  time.Time `json:"ended,omitzero"`
	Well   bool      `json:"well,omitempty"`
	Result string    `json:"result,omitempty"`
}

// dueLine is a schedule: what it says, the newest time at which it was due, and when it was first seen.
type dueLine struct {
	Satellite string    `json:"satellite"`
	Schedule  string    `json:"schedule,omitempty"`
	Says      string    `json:"says"`
	Last      time.Time `json:"last,omitzero"`
	Seen      time.Time `json:"seen,omitzero"`
	Owed      int       `json:"owed,omitempty"`
}

type sheetFile struct {
	Runs map[string]runLine `json:"runs"`
	Due  []dueLine          `json:"due"`
}

const sheetLimit = 16 << 20 // bytes: a larger file is none of ours

func newTimesheet(state string, log *slog.Logger) *timesheet {
	t := &timesheet{log: log, next: make(chan []byte, 1)}
	if state == "" {
		return t
	}
	t.path = filepath.Join(state, "schedules")
	f, err := readSheet(t.path)
	if err != nil {
		log.Warn("cannot tell which scheduled runs were missed", "file", t.path, "error", err)
	}
	t.runs, t.due = f.Runs, f.Due
	return t
}

func readSheet(path string) (f sheetFile, err error) {
	info, err := os.Stat(path)
	switch {
	case os.IsNotExist(err):
		return f, nil
	case err != nil:
		return f, err
	case info.Size() > sheetLimit:
		return f, fmt.Errorf("it has %d bytes", info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return sheetFile{}, err
	}
	return f, nil
}

// find is what is known of a schedule that says the same; zero: nothing.
func (t *timesheet) find(e *scheduled) dueLine {
	for _, l := range t.due {
		if l.Satellite == e.satellite && l.Schedule == e.plan.Name && l.Says == says(e.plan) {
			l.Owed = min(max(l.Owed, 0), topology.MissedMost)
			return l
		}
	}
	return dueLine{}
}

func says(p topology.Schedule) string {
	if p.Cron == "" {
		return p.Every.String()
	}
	return p.Cron + " " + p.Zone
}

// write hands the present state to the writer; it never blocks.
func (t *timesheet) write(entries []*scheduled, jobs map[string]*job) {
	if t.path == "" {
		return
	}
	f := sheetFile{Runs: make(map[string]runLine, len(jobs)), Due: make([]dueLine, 0, len(entries))}
	for _, e := range entries {
		f.Due = append(f.Due, dueLine{Satellite: e.satellite, Schedule: e.plan.Name, Says: says(e.plan), Last: e.last, Seen: e.seen, Owed: e.owed})
		if j := jobs[e.satellite]; j != nil && !j.began.IsZero() {
			f.Runs[e.satellite] = runLine{Began: j.began, Ended: j.ended, Well: j.well, Result: j.result}
		}
	}
	text, err := json.Marshal(f)
	if err != nil || bytes.Equal(text, t.last) {
		return
	}
	t.last = text
	select {
	case <-t.next: // nobody needs the one before
	default:
	}
	t.next <- text
}

// sheetRetry is how long a disk that took nothing is left alone.
const sheetRetry = 10 * time.Second

// run writes until the context ends, and then what is left. What could not be written is tried again, for the next run may be due in
// a month.
func (t *timesheet) run(ctx context.Context) {
	var text []byte // not written
	retry := time.NewTimer(time.Hour)
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case text = <-t.next:
		case <-retry.C:
		case <-ctx.Done():
			select {
			case text = <-t.next:
			default:
			}
			if text != nil {
				t.store(text)
			}
			return
		}
		if t.store(text) {
			text = nil
			retry.Stop()
		} else {
			retry.Reset(sheetRetry)
		}
	}
}

func (t *timesheet) store(text []byte) bool {
	err := replace(t.path, text)
	if err != nil && !t.failing {
		t.log.Error("cannot write down when schedules were due: after a restart of dsatd runs may be missed or made up twice", "file", t.path, "error", err)
	}
	t.failing = err != nil
	return err == nil
}

// replace writes a file beside another and puts it in its place.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".schedules-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it may be gone; the first error is what counts
	}
	return err
}
