package main

import (
	"context"
	"errors"
	"os"
	"strconv"
)

// boot starts everything, once the hook has nothing against it.
func (d *daemon) boot(ctx context.Context) error {
	if err := d.hook(ctx, "start"); err != nil {
		d.askWith(exitFailed, err.Error())
		return err
	}
	return d.sup.Boot(ctx)
}

// hook runs one of dsatd's own.
func (d *daemon) hook(ctx context.Context, name string, env ...string) error {
	all := d.sup.Topology().Daemon.Hooks
	h := all.Start
	switch name {
	case "ready":
		h = all.Ready
	case "stop":
		h = all.Stop
	}
	return d.sup.Hook(ctx, name, h, append(env, "DSAT_PID="+strconv.Itoa(os.Getpid()), "DSAT_EPOCH="+strconv.FormatUint(uint64(d.epoch), 10))...)
}

// celebrate runs the hook of a topology that is up, or as far up as it gets.
func (d *daemon) celebrate(err error) {
	if errors.Is(err, context.Canceled) || d.sup.Topology().Daemon.Hooks.Ready == nil {
		return
	}
	cause := ""
	if err != nil {
		cause = err.Error()
	}
	d.finished.Go(func() { _ = d.hook(context.Background(), "ready", "DSAT_CAUSE="+cause) }) // it is in the log, and nothing follows
}
