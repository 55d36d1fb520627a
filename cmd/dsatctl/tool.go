package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dsat/dsat/web/control"
)

// ends are where dsatctl is connected to.
type ends struct {
	in       io.Reader
	out      io.Writer
	errs     io.Writer
	terminal bool // out is one
	now      func() time.Time
}

// tool is one run of dsatctl: its ends and its global flags.
type tool struct {
	ends
	out     *bufio.Writer
	socket  string
	runDir  string
	json    bool
	noColor bool
	timeout time.Duration
}

// run is dsatctl without its process; it returns the exit code.
func run(ctx context.Context, e ends, args []string) int {
	t := &tool{ends: e, out: bufio.NewWriter(e.out)}
	root := t.root()
	root.SetArgs(append([]string{}, args...)) // cobra takes those of the process for nil
	err := root.ExecuteContext(ctx)
	if flushed := t.out.Flush(); err == nil {
		err = flushed
	}
	if err != nil {
		t.complain(err)
	}
	return exitCode(err)
}

// complain tells an error on stderr, as the API's JSON with --json.
func (t *tool) complain(err error) {
	if silent := (*toldError)(nil); errors.As(err, &silent) || errors.Is(err, syscall.EPIPE) {
		return
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted; what was begun in the daemon goes on")
	}
	failure := (*control.Error)(nil)
	isAPI := errors.As(err, &failure)
	if t.json {
		if !isAPI {
			failure = &control.Error{Kind: kindOf(err), Message: err.Error()}
		}
		text, marshalErr := json.Marshal(control.ErrorAnswer{Error: failure})
		if marshalErr == nil {
			fmt.Fprintf(t.errs, "%s\n", text)
			return
		}
	}
	hint := ""
	if isAPI {
		hint = didYouMean(failure.Suggest)
	}
	fmt.Fprintf(t.errs, "dsatctl: %s%s\n", printable(err.Error()), hint)
}

// note tells something beside the answer.
func (t *tool) note(format string, values ...any) {
	fmt.Fprintf(t.errs, "dsatctl: %s\n", printable(fmt.Sprintf(format, values...)))
}

// client finds the daemon that is meant.
func (t *tool) client() (*control.Client, error) {
	socket, err := t.socketPath()
	if err != nil {
		return nil, err
	}
	client := control.Dial(socket)
	if t.json {
		client = client.Tee(t.out)
	}
	return client, nil
}

// limit applies --timeout to one call; grace is what the client leaves the daemon to say so itself.
func (t *tool) limit(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	if t.timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, t.timeout+grace)
}

const changeGrace = 2 * time.Second

// paint tells whether to colour.
func (t *tool) paint() bool {
	switch {
	case t.noColor, os.Getenv("NO_COLOR") != "":
		return false
	case os.Getenv("CLICOLOR_FORCE") != "" && os.Getenv("CLICOLOR_FORCE") != "0":
		return true
	}
	return t.terminal && os.Getenv("TERM") != "dumb"
}

// atLeast wants n arguments or more of the named kind.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			return usageError(fmt.Sprintf("cannot %s: %s is missing: see %s --help", cmd.Name(), what, cmd.CommandPath()))
		}
		return nil
	}
}

// exactly wants as many arguments as there are names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return atLeast(len(names), names[len(args)])(cmd, args)
		}
		if len(args) > len(names) {
			return usageError(fmt.Sprintf("cannot %s: %q is too much: see %s --help",
				cmd.Name(), strings.Join(args[len(names):], " "), cmd.CommandPath()))
		}
		return nil
	}
}

// flagError says what is wrong with the flags, in the words of people.
func flagError(cmd *cobra.Command, err error) error {
	if bad := (*pflag.InvalidValueError)(nil); errors.As(err, &bad) {
		want := map[string]string{"duration": "a duration like 30s", "int": "a whole number", "uint64": "a whole number", "float64": "a number"}[bad.GetFlag().Value.Type()]
		if want != "" {
			return usageError(fmt.Sprintf("cannot take %q for --%s: want %s; see %s --help", bad.GetValue(), bad.GetFlag().Name, want, cmd.CommandPath()))
		}
	}
	return usageError(fmt.Sprintf("cannot read the flags: %v: see %s --help", err, cmd.CommandPath()))
}
