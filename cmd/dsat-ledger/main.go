// Command dsat-ledger is the outside judge of "nothing is lost": it knows nothing of dsat, only what producers were told
// was accepted and what sinks wrote that they got, and compares the two.
//
//	dsat-ledger [--duplicates N] TOLD GOT [GOT...]
//
// Both are files of lines "PRODUCER FIRST LAST": TOLD says that the producer's messages FIRST to LAST were accepted, GOT
// that they were received. It exits with 0 when nothing that was accepted is missing and nothing was invented, with 1
// when something is, with 2 when it cannot tell.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, complaints io.Writer) int {
	fs := flag.NewFlagSet("dsat-ledger", flag.ContinueOnError)
	fs.SetOutput(complaints)
	duplicates := fs.Int64("duplicates", -1, "more duplicates than this are a failure; -1 allows any number")
	if fs.Parse(args) != nil {
		return 2
	}
	if fs.NArg() < 2 {
		_, _ = fmt.Fprintln(complaints, "usage: dsat-ledger [--duplicates N] TOLD GOT [GOT...]")
		return 2
	}
	told, err := readFile(fs.Arg(0))
	if err != nil {
		_, _ = fmt.Fprintln(complaints, "dsat-ledger:", err)
		return 2
	}
	var got []entry
	for _, path := range fs.Args()[1:] {
		more, err := readFile(path)
		if err != nil {
			_, _ = fmt.Fprintln(complaints, "dsat-ledger:", err)
			return 2
		}
		got = append(got, more...)
	}
	v := judge(told, got)
	_, _ = fmt.Fprint(out, v)
	if v.accepted == 0 {
		_, _ = fmt.Fprintln(complaints, "dsat-ledger: nothing was accepted: this proves nothing")
		return 2
	}
	if v.lost() > 0 || v.invented > 0 || *duplicates >= 0 && v.duplicated > uint64(*duplicates) {
		return 1
	}
	return 0
}

func readFile(path string) ([]entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	entries, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}

// entry is one line: the messages first to last of a producer.
type entry struct {
	producer    string
	first, last uint64
}

// maxRange bounds what one line may claim, so that a broken file is an error and not a memory exhausted.
const maxRange = 1 << 32

// read takes whole lines; a last line without its line feed was torn by a crash and counts for nothing.
func read(r io.Reader) ([]entry, error) {
	var entries []entry
	lines := bufio.NewReader(r)
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		e, err := parse(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		entries = append(entries, e)
	}
}

func parse(line string) (entry, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return entry{}, fmt.Errorf("%q is not PRODUCER FIRST LAST", line)
	}
	first, err1 := strconv.ParseUint(fields[1], 10, 64)
	last, err2 := strconv.ParseUint(fields[2], 10, 64)
	if err1 != nil || err2 != nil || first == 0 || last < first || last-first >= maxRange {
		return entry{}, fmt.Errorf("%q has no range of numbers from 1", line)
	}
	return entry{producer: fields[0], first: first, last: last}, nil
}
