package logs

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dsat/dsat/topology"
)

// A log file is
//
//	cpu.0.log                                what is being written
//	cpu.0.err.log                            stderr, where it is split
//	cpu.0.log.20261123T203015.123456Z        rotated at that time, after its last line
//	cpu.0.log.20261123T203015.123456Z.gz     and compressed
//	cpu.0.log.2                              rotated by somebody else, or by an earlier version
//
// The names alone tell whose a file is, also of satellites that are no more, and which files a span of time is in.
const rotatedLayout = "20060102T150405.000000Z"

// segment is one file of a log.
type segment struct {
	name   string // without directory
	base   string // of the file being written: "cpu.0.log"
	ref    topology.Ref
	stderr bool
	live   bool
	gz     bool
	end    time.Time // no line is younger; of a live one: the time of its last change
	size   int64
	info   fs.FileInfo
}

func baseName(ref topology.Ref, stderr bool) string {
	if stderr {
		return fmt.Sprintf("%s.%d.err.log", ref.Name, ref.WID)
	}
	return fmt.Sprintf("%s.%d.log", ref.Name, ref.WID)
}

// parseName reads a name; end stays zero where the name does not tell it. ok is false for what is no log file.
func parseName(name string) (s segment, ok bool) {
	stem, suffix, found := strings.Cut(name, ".log")
	if !found || suffix != "" && suffix[0] != '.' {
		return s, false
	}
	who, wid, found := strings.Cut(stem, ".")
	if !found || who == "" {
		return s, false
	}
	wid, s.stderr = strings.CutSuffix(wid, ".err")
	n, err := strconv.Atoi(wid)
	if err != nil || n < 0 || wid != strconv.Itoa(n) {
		return s, false
	}
	s.name, s.ref = name, topology.Ref{Name: who, WID: n}
	s.base = baseName(s.ref, s.stderr)
	if suffix == "" {
		s.live = true
		return s, true
	}
	suffix, s.gz = strings.CutSuffix(suffix[1:], ".gz")
	if at, err := time.Parse(rotatedLayout, suffix); err == nil && len(suffix) == len(rotatedLayout) {
		s.end = at
		return s, true
	}
	_, err = strconv.ParseUint(suffix, 10, 16)
	return s, err == nil
}

// listFiles is all log files of a directory, of each base the oldest first and the live one last. A directory that is not there has none.
func listFiles(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	var all []segment
	for _, e := range entries {
		s, ok := parseName(e.Name())
		if !ok {
			continue
		}
		if s.info, err = e.Info(); err != nil || !s.info.Mode().IsRegular() {
			continue // removed meanwhile; or a link or a pipe that somebody put there
		}
		s.measure()
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.base, b.base), live(a)-live(b), a.end.Compare(b.end), cmp.Compare(a.name, b.name))
	})
	return slices.CompactFunc(all, func(a, b segment) bool {
		return a.base == b.base && !a.live && a.name+".gz" == b.name // its compressed copy was just finished
	}), nil
}

func (s *segment) measure() {
	s.size = s.info.Size()
	if s.end.IsZero() {
		s.end = s.info.ModTime()
	}
}

func live(s segment) int {
	if s.live {
		return 1
	}
	return 0
}

// rotatedName is a name that no file has, and that sorts after all rotated files there are, whatever the clock says.
func rotatedName(path string, now time.Time) (string, error) {
	dir, base := filepath.Split(path)
	all, err := listFiles(dir)
	if err != nil {
		return "", err
	}
	now = now.UTC().Truncate(time.Microsecond)
	for _, s := range all {
		if s.base == base && !s.live && !s.end.Before(now) {
			now = s.end.UTC().Truncate(time.Microsecond).Add(time.Microsecond)
		}
	}
	return path + "." + now.Format(rotatedLayout), nil
}
