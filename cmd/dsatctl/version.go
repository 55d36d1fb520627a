package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

// versionPatience is how long the daemon's version is worth waiting for.
const versionPatience = time.Second

const versionHelp = `Print the version of dsatctl and of the daemon, when one runs. With --json:
{"dsatctl": VERSION, "dsatd": VERSION or null}.`

// versions is what version --json prints.
type versions struct {
	Dsatctl control.Version  `json:"dsatctl"`
	Dsatd   *control.Version `json:"dsatd"`
}

func (t *tool) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of dsatctl and of the daemon",
		Long:  versionHelp,
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return t.version(cmd.Context()) },
	}
}

func (t *tool) version(ctx context.Context) error {
	v := versions{Dsatctl: control.OwnVersion()}
	why := ""
	if socket, err := t.socketPath(); err != nil {
		why = "none is running, or several"
	} else {
		ctx, cancel := context.WithTimeout(ctx, versionPatience)
		defer cancel()
		if v.Dsatd, err = control.Dial(socket).Version(ctx); err != nil {
			why = err.Error()
		}
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(v)
	}
	if _, err := fmt.Fprintf(t.out, "dsatctl %s (%s)\n", v.Dsatctl.Version, v.Dsatctl.Go); err != nil {
		return err
	}
	if v.Dsatd == nil {
		_, err := fmt.Fprintf(t.out, "dsatd   not asked: %s\n", printable(why))
		return err
	}
	zmq := ""
	if v.Dsatd.ZeroMQ != "" {
		zmq = ", ZeroMQ " + v.Dsatd.ZeroMQ
	}
	_, err := fmt.Fprintf(t.out, "dsatd   %s (%s%s)\n", printable(v.Dsatd.Version), printable(v.Dsatd.Go), printable(zmq))
	return err
}
