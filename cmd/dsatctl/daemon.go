package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsat/dsat/web/control"
)

// socketPath is the control socket of the daemon that is meant: by flag, by environment, or the only one that runs.
func (t *tool) socketPath() (string, error) {
	switch {
	case t.socket != "" && t.runDir != "":
		return "", usageError("cannot use both --socket and --run-dir: give one")
	case t.socket != "":
		return t.socket, nil
	case t.runDir != "":
		return filepath.Join(t.runDir, control.SocketName), nil
	case os.Getenv(control.EnvRunDir) != "":
		return filepath.Join(os.Getenv(control.EnvRunDir), control.SocketName), nil
	}
	found, err := control.Find()
	if err != nil {
		return "", err
	}
	return chooseDaemon(found)
}

// chooseDaemon takes the only living one.
func chooseDaemon(found []control.Found) (string, error) {
	var alive, denied, stale []control.Found
	for _, f := range found {
		switch {
		case f.Alive:
			alive = append(alive, f)
		case f.Denied:
			denied = append(denied, f)
		default:
			stale = append(stale, f)
		}
	}
	switch {
	case len(alive) == 1:
		return alive[0].Socket, nil
	case len(alive) > 1:
		return "", usageError("cannot choose a daemon, several run: pass one of\n" + listDaemons(alive))
	case len(denied) > 0:
		return "", &control.Error{Kind: control.KindDenied, Message: fmt.Sprintf(
			"cannot open %s: permission denied: that daemon belongs to another user, and none of yours runs", denied[0].Socket)}
	}
	hint := ""
	if len(stale) > 0 {
		hint = fmt.Sprintf(" (%s was left behind by one that has ended; what it ran may still run, and the next start takes care of it)", stale[0].RunDir)
	}
	return "", &control.Error{Kind: control.KindUnavailable, Message: "cannot find a daemon: none is running" + hint +
		"; start one with: dsatd start FILE (one in another place: --run-dir DIR)"}
}

func listDaemons(alive []control.Found) string {
	lines := make([]string, len(alive))
	for i, f := range alive {
		lines[i] = "  --run-dir " + f.RunDir
		if f.PID > 0 {
			lines[i] += fmt.Sprintf("  (%s, pid %d)", f.Name, f.PID)
		}
	}
	return strings.Join(lines, "\n")
}
