package main

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/dsat/dsat/supervisor"
)

// handled are the signals dsatd takes; `dsatd help` and docs/operations.md tell what they mean.
var handled = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT}

const signalHelp = `signals: TERM, INT  stop all in good order; a second one kills all at once
         HUP        apply the topology's files again
         USR1       open the log files anew, and write how all is to dump.txt in the state directory
         USR2       become the program that is at this dsatd's path now, with all processes (dsatctl upgrade)
         QUIT       write what every goroutine does to stacks.txt in the state directory, and go on
`

// ends: a signal that asks for the end.
func ends(sig os.Signal) bool { return sig == syscall.SIGTERM || sig == syscall.SIGINT }

// heed does what a signal asks for that is not the end; it answers false for one that is. It never blocks.
func (d *daemon) heed(sig os.Signal) bool {
	switch sig {
	case syscall.SIGHUP:
		d.change.reload()
	case syscall.SIGUSR1:
		d.sup.ReopenLogs()
		if err := d.own.reopen(); err != nil {
			d.log.Warn("cannot open dsatd's own log anew: " + err.Error())
		}
		d.write(dumpName, d.dump)
	case syscall.SIGUSR2:
		go func() { // it waits for what is in hand; it ends with this dsatd or with its own deadlines
			if err := d.upgrade(context.Background(), ""); err != nil {
				d.log.Error("cannot upgrade; this dsatd goes on: " + err.Error())
			}
		}()
	case syscall.SIGQUIT:
		d.write(stacksName, stacks)
	default:
		return false
	}
	return true
}

// inform begins to tell the service manager how dsatd is; the function it returns ends that.
func (d *daemon) inform() (end func()) {
	if !d.manager.wanted() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.manager.report(ctx, d.alive, func() (string, bool) { return d.sentence(), d.web.State() != "running" })
	}()
	d.manager.changed()
	return func() {
		cancel()
		<-done
	}
}

// alive asks the loops.
func (d *daemon) alive(ctx context.Context) error {
	if err := d.sup.Alive(ctx); err != nil {
		return err
	}
	if err := d.bus.Alive(ctx); err != nil {
		return fmt.Errorf("the bus does not answer: %w", err)
	}
	return nil
}

// sentence is how all is, for STATUS.
func (d *daemon) sentence() string {
	processes := 0
	for _, s := range d.sup.Snapshot() {
		for _, i := range s.Instances {
			if i.State == supervisor.Running {
				processes++
			}
		}
	}
	text := fmt.Sprintf("%s is %s, %d processes are ready", d.sup.Topology().Name, d.web.State(), processes)
	switch missing := d.sup.Ready(); {
	case len(missing) == 1:
		text += "; " + missing[0]
	case len(missing) > 1:
		text += fmt.Sprintf("; %s, and %d more are not", missing[0], len(missing)-1)
	}
	return text
}
