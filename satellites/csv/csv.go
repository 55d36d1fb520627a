// Package csv is the built-in satellite that keeps: every message becomes a row of a file, one file per source.
//
// The file of source "cpu" is cpu.csv in the directory of option "dir": a header, then RFC 4180 rows. The first columns
// are message_id and message_time (when the message was admitted), then the payload's JSON, flattened: {"a": {"b": 1}}
// is a column a.b, an array counts from 0, a payload that is no object is a column value, one that is no JSON a column
// payload. A payload with other columns goes to cpu.v2.csv, and so on; later ones find the file that fits.
// Instance n > 0 writes cpu.wN.csv: no file is written by two processes, and a lock makes sure of it.
//
// A row is in the file (written, not fsynced) before its message is acknowledged. A crash may leave half a row: it is cut off
// when the file is opened again, and the message comes again. A message that was written and not acknowledged comes again
// too: message_id tells.
package csv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dsat/dsat/satellites"
)

// Doc is the one line for listings.
const Doc = "writes each message as a row, one file per source; the row is written before the message is acknowledged"

// Options of the satellite.
type Options struct {
	Dir string `json:"dir"` // relative to the topology file; default "data"
}

// Parse reads and checks options.
func Parse(options map[string]any) (Options, error) {
	o := defaults()
	if err := satellites.DecodeOptions(options, &o); err != nil {
		return o, err
	}
	return o, o.check()
}

func defaults() Options { return Options{Dir: "data"} }

func (o Options) check() error {
	if o.Dir == "" {
		return fmt.Errorf("cannot write to no directory: option \"dir\" is empty")
	}
	return nil
}

// Main runs the satellite until dsatd says stop.
func Main() error {
	o := defaults()
	if err := satellites.Options(&o); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	id, err := satellites.Self()
	if err != nil {
		return err
	}
	dir := o.Dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(id.Dir, dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the directory of option \"dir\": %w", err)
	}
	s := New(dir, id.WID)
	defer s.Close()
	return satellites.Run(s.Handle, satellites.BeforeAck(s.Flush))
}

// Store is a directory of files, one per source and set of columns. It is used by one goroutine.
type Store struct {
	dir   string
	wid   int
	files map[string][]*file // by source
}

// New keeps files in dir, for the instance wid.
func New(dir string, wid int) *Store {
	return &Store{dir: dir, wid: wid, files: map[string][]*file{}}
}

// Handle adds the row of one message to what Flush will write.
func (s *Store) Handle(_ context.Context, m *satellites.Message, _ *satellites.Output) error {
	columns := Flatten(m.Payload)
	f, err := s.file(m.From, columns)
	if err != nil {
		return err
	}
	return f.add(m.ID, m.Time, columns)
}

// Flush writes the rows of all messages since the last Flush. After an error none of them is in a file, or, where one of
// several files could not be written, those of the other files are there and will come again.
func (s *Store) Flush() error {
	var first error
	for _, files := range s.files {
		for _, f := range files {
			if err := f.flush(); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}

// Close closes all files.
func (s *Store) Close() {
	for _, files := range s.files {
		for _, f := range files {
			f.close()
		}
	}
}

// mostVariants is how many sets of columns one source may have: more is a payload whose keys are data.
const mostVariants = 64

// file finds or opens the file of a source that has these columns.
func (s *Store) file(source string, columns []Column) (*file, error) {
	for _, f := range s.files[source] {
		if f.fits(columns) {
			return f, nil
		}
	}
	for n := len(s.files[source]) + 1; n <= mostVariants; n++ {
		f, err := open(filepath.Join(s.dir, name(source, s.wid, n)), columns)
		if err != nil {
			return nil, err
		}
		s.files[source] = append(s.files[source], f)
		if f.fits(columns) {
			return f, nil
		}
	}
	return nil, satellites.Permanent(fmt.Errorf("cannot write a row of %q: it is the %dth set of columns, are its keys data?",
		source, mostVariants+1))
}

// name of a file. Names of steps have no dot, so no two are alike.
func name(source string, wid, variant int) string {
	if source == "" {
		source = "from.outside" // the dot keeps it apart from any step
	}
	if wid > 0 {
		source += fmt.Sprintf(".w%d", wid)
	}
	if variant > 1 {
		source += fmt.Sprintf(".v%d", variant)
	}
	return source + ".csv"
}
