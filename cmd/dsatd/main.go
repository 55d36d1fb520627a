// Command dsatd runs every process of a topology, restarts and monitors them, and carries the messages between them.
//
// This package reads flags, builds the parts, starts them in order and stops them in reverse; everything else is in the
// packages it joins.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dsat/dsat/supervisor"
)

// Exit codes, listed by `dsatd help`.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitBusy   = 75 // another dsatd holds the run directory (EX_TEMPFAIL of sysexits)
	exitConfig = 78 // the topology is wrong (EX_CONFIG of sysexits)
	exitForced = 130
)

// command is one line of `dsatd help`. run answers the exit code.
type command struct {
	name  string
	args  string
	about string
	run   func(args []string) int
}

func commands() []command {
	return []command{
		{"start", "[FLAGS] [FILE...]", "run a topology (later files win; without one, dsat.toml is looked for upward)", start},
		{"check", "[--effective] FILE...", "tell every problem of a topology; 0 is none, 78 is some", check},
		{"init", "[--from-dsat VERTEX.JSON] [FILE]", "write a commented topology to start from (default dsat.toml), or that of a DSAT 0.6", initialise},
		{"doctor", "[--json] [FILE...]", "look for what is wrong with the machine or the installation", doctor},
		{"graph", "[--format text|dot|mermaid] FILE...", "draw the topology", graph},
		{"schema", "", "print the JSON Schema of topology files", schema},
		{"plugin", "NAME", "be a built-in satellite (dsatd executes itself so)", plugin},
		{"exec", "TRAITS PATH ARGV...", "become the program of a satellite (dsatd executes itself so)", supervisor.Exec},
		{"completion", "bash|zsh|fish", "print a completion script", completion},
		{"version", "", "print the version", printVersion},
	}
}

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(os.Stdout)
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(args[1:])
		}
	}
	fmt.Fprintf(os.Stderr, "dsatd: unknown command %q; `dsatd help` lists them\n", args[0])
	return exitUsage
}

func usage(w io.Writer) {
	fmt.Fprint(w, "dsatd supervises processes and the work that flows between them.\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  dsatd %-11s%-38s %s\n", c.name, c.args, c.about)
	}
	fmt.Fprint(w, "\n"+signalHelp+"\nexit codes: 0 ended as asked, 1 failed, 2 wrong use, 75 another dsatd holds the run directory,\n"+
		"            78 wrong topology, 130 second interrupt. `dsatctl` steers a running dsatd.\n")
}

// flags returns a flag set that prints its help by the table's words.
func flags(name, args string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "usage: dsatd %s %s\n", name, args)
		fs.PrintDefaults()
	}
	return fs
}

// parse reads flags and operands in any order; ok is false when the command is over with that exit code.
func parse(fs *flag.FlagSet, args []string) (operands []string, code int, ok bool) {
	for {
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, exitOK, false
		case err != nil:
			return nil, exitUsage, false
		}
		if fs.NArg() == 0 {
			return operands, exitOK, true
		}
		operands = append(operands, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

func complain(err error) {
	text := err.Error()
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	fmt.Fprint(os.Stderr, "dsatd: ", text)
}

func printVersion([]string) int {
	v := versions()
	fmt.Printf("dsatd %s (%s, libzmq %s, handover %d)\n", v.Version, v.Go, v.ZeroMQ, handoverFormat)
	return exitOK
}
