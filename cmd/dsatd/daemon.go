package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web"
	"github.com/dsat/dsat/web/control"
)

// daemon is the parts and the order in which they live. main owns it; run is its whole life.
type daemon struct {
	epoch uint32
	log   *slog.Logger

	hub *web.Hub
	sup *supervisor.Supervisor
	bus *bus.Bus
	web *web.Server

	change *changer
	hooks  *taskHooks

	asked   chan struct{} // closed when somebody asked for the end
	askOnce sync.Once

	drainDeadline time.Duration // written before asked is closed
	code          int           // the same; of the end
	why           string        // the same; where the topology wanted the end

	manager *manager
	own     ownLog
	lock    *runLock

	binary    string // this dsatd's own
	upgrading chan struct{}

	signals  chan os.Signal
	dumping  chan struct{}  // holds a token while a dump is written
	finished sync.WaitGroup // bus loop and supervisor loop
}

// build makes the parts; nothing runs yet. On an error what was made is closed again.
func build(from source, loaded *topology.Loaded, h *handover, epoch uint32, log *slog.Logger) (*daemon, error) {
	topo := loaded.Topology
	d := &daemon{
		epoch: epoch, log: log, own: ownLogOf(os.Stderr), upgrading: make(chan struct{}, 1),
		hub: web.NewHub(epoch), asked: make(chan struct{}), signals: make(chan os.Signal, 4), dumping: make(chan struct{}, 1),
	}
	d.change = newChanger(d, from, loaded)
	d.hooks = &taskHooks{run: d.taskHook}
	var err error
	if d.binary, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("cannot tell where this dsatd is: %w", err)
	}
	carried := bus.Config{
		Topology: topo, RunDir: topo.Daemon.RunDir, StateDir: topo.Daemon.StateDir, Epoch: epoch, Log: log, Event: d.busEvent,
		// The supervisor is made after the bus; nobody says HELLO before it has spawned somebody.
		Hello:    func(ref topology.Ref, inc topology.Incarnation) { d.sup.Hello(ref, inc) },
		Worn:     func(ref topology.Ref, inc topology.Incarnation, why string) { d.sup.Worn(ref, inc, why) },
		Fault:    func(ref topology.Ref, inc topology.Incarnation, why string) { d.sup.Fault(ref, inc, why) },
		TaskHook: d.hooks.add,
	}
	if d.bus, err = h.openBus(carried, log); err != nil {
		return nil, err
	}
	d.sup, err = supervisor.New(supervisor.Config{
		Topology: topo, RunDir: topo.Daemon.RunDir, StateDir: topo.Daemon.StateDir, Epoch: epoch, Log: log,
		Bus: d.bus, Self: "/proc/self/exe", Event: d.processEvent, Exit: d.askWith,
		Handover: h.processes(), Inherited: h.descriptors(),
	})
	if err != nil {
		d.bus.Close()
		return nil, err
	}
	d.web, err = web.Open(web.Config{
		Topology: topo, RunDir: topo.Daemon.RunDir, StateDir: topo.Daemon.StateDir, Epoch: epoch,
		Version: versions(), Log: log, Hub: d.hub, Supervisor: d.sup, Bus: d.bus, Down: d.ask, Change: d.change,
		Doctor: d.doctor, Upgrade: d.upgrade, Inherited: h.descriptors(),
	})
	if err != nil {
		d.sup.Close()
		d.bus.Close()
		return nil, err
	}
	h.closeRest(log)
	return d, nil
}

// ask begins the end of the daemon. drain is how long work in flight may take; 0 is the topology's own deadline.
func (d *daemon) ask(drain time.Duration) {
	d.askOnce.Do(func() {
		if d.drainDeadline = drain; drain == 0 {
			d.drainDeadline = d.sup.Topology().Daemon.StopDeadline
		}
		close(d.asked)
	})
}

// askWith begins the end of the daemon on behalf of the topology: it will exit with this code.
func (d *daemon) askWith(code int, why string) {
	d.askOnce.Do(func() {
		d.drainDeadline, d.code, d.why = d.sup.Topology().Daemon.StopDeadline, code, why
		close(d.asked)
	})
}

// run lives the daemon's life: doors, bus, processes, in this order; the reverse at the end. The doors close last, so that
// `dsatctl status` answers during a slow stop.
func (d *daemon) run() int {
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(d.signals, handled...)
	defer signal.Stop(d.signals)

	loops, endLoops := context.WithCancel(context.Background())
	defer endLoops()
	d.web.Serve()
	defer d.web.Close()
	d.serve("the bus", d.bus.Serve, loops)
	d.serve("the supervisor", d.sup.Run, loops)
	d.announce()
	defer d.inform()()

	booting, endBoot := context.WithCancel(loops)
	booted := make(chan error, 1)
	d.finished.Go(func() { booted <- d.boot(booting) })
	d.wait(booted)
	endBoot()
	d.change.close()
	code := d.code
	if forced := d.end(); forced {
		code = exitForced
	}
	d.sup.KillAll()
	d.sup.Close()
	d.bus.Close()
	d.finished.Wait()
	if err := saveRuntime(d.sup.Topology().Daemon.RunDir, topology.Overlay{}); err != nil {
		d.log.Warn("cannot forget what was changed at run time: " + err.Error())
	}
	return code
}

func (d *daemon) serve(name string, loop func(context.Context) error, ctx context.Context) {
	d.finished.Go(func() {
		if err := loop(ctx); err != nil && !errors.Is(err, context.Canceled) {
			d.log.Error(name+" ended by itself", "err", err)
			d.ask(0)
		}
	})
}

// announce says where everything is.
func (d *daemon) announce() {
	d.log.Info(fmt.Sprintf("dsatd %s runs %s", versions().Version, d.sup.Topology().Name), "pid", os.Getpid(), "epoch", d.epoch, "run_dir", d.sup.Topology().Daemon.RunDir)
	if addr := d.web.HTTP(); addr != "" {
		d.log.Info("status page: http://" + addr + "/   metrics: http://" + addr + "/metrics")
	}
	for _, note := range d.sup.Topology().Notes {
		d.log.Info("note: " + note)
	}
}

// wait lives until somebody asks for the end.
func (d *daemon) wait(booted <-chan error) {
	patience := time.After(detachPatience)
	for {
		select {
		case <-patience:
			// What always fails backs off for ever; whoever waits for a detached start is told what is missing by now.
			if booted != nil {
				d.tellDetacher(errors.New(strings.Join(d.sup.Ready(), "; ")))
				d.manager.ready(d.sentence())
			}
		case err := <-booted:
			booted = nil
			d.ready(err)
		case sig := <-d.signals:
			if d.heed(sig) {
				continue
			}
			d.log.Info("stopping", "signal", sig.String())
			d.ask(0)
			return
		case <-d.asked:
			if d.why != "" {
				d.log.Info(fmt.Sprintf("stopping, to exit with code %d: %s", d.code, d.why))
				return
			}
			d.log.Info("stopping: asked through the API")
			return
		}
	}
}

func (d *daemon) ready(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		d.log.Warn("not all is up: " + err.Error())
	} else if err == nil {
		d.log.Info("everything is up; steer it with dsatctl, end it with Ctrl-C or `dsatctl down`")
	}
	d.web.SetState("running")
	d.finished.Go(func() { d.tellDetacher(err) })
	d.manager.ready(d.sentence())
	d.celebrate(err)
	// To start 1,000 processes takes more memory than to have them; the runtime would keep it for minutes.
	d.finished.Go(shed)
}

// sameSignal is how close two signals are one wish: timeout(1) and a terminal under make send the same one twice, to the
// process and to its group.
const sameSignal = 250 * time.Millisecond

// end stops everything by law 7: no new work, sources first, wait until nothing is in flight, then the rest in reverse.
// It answers true when a second signal cut it short.
func (d *daemon) end() (forced bool) {
	d.web.SetState("stopping")
	d.manager.stopping()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = d.hook(ctx, "stop") // it is in the log, and ends nothing but itself
		d.drain(ctx)
		if err := d.sup.StopAll(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("cannot stop all in good order: " + err.Error())
		}
	}()
	first := time.Now()
	for {
		select {
		case <-done:
			return false
		case sig := <-d.signals:
			if ends(sig) && time.Since(first) > sameSignal {
				d.log.Warn("second interrupt: killing everything now")
				cancel()
				d.sup.KillAll()
				<-done
				return true
			}
		}
	}
}

func (d *daemon) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.drainDeadline)
	defer cancel()
	d.bus.Shut()
	if err := d.sup.StopSources(ctx); err != nil {
		d.log.Warn("cannot stop the sources in good order: " + err.Error())
	}
	idle := d.bus.Idle(ctx) == nil
	d.stow()
	l := d.bus.Ledger()
	left := l.InFlight + l.Held
	if n := d.sayKept(); n > 0 {
		left -= min(left, n)
	}
	if !idle && left > 0 {
		d.log.Warn("stopping with work left in memory: it is lost", "messages", left)
	}
}

// stow brings to disk what queues that spill have in memory.
func (d *daemon) stow() {
	ctx, cancel := context.WithTimeout(context.Background(), stowPatience)
	defer cancel()
	if err := d.bus.Stow(ctx); err != nil {
		d.log.Warn(err.Error())
	}
}

// stowPatience is how long the disk may take for that.
const stowPatience = 10 * time.Second

// sayKept names what durable queues and those that spill hold, which the next dsatd goes on with, and counts what of it waits or is in hand.
func (d *daemon) sayKept() (n uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), keptPatience)
	defer cancel()
	kept, err := d.bus.Kept(ctx)
	if err != nil || len(kept) == 0 {
		return 0
	}
	var steps []any
	aside := 0
	for _, k := range kept {
		if n += uint64(k.Messages); k.Messages > 0 {
			steps = append(steps, k.Step, k.Messages)
		}
		aside += k.Aside
	}
	if n > 0 {
		d.log.Info(fmt.Sprintf("%d messages are kept on disk", n), steps...)
	}
	if aside > 0 {
		d.log.Info(fmt.Sprintf("%d messages in quarantine are kept on disk", aside))
	}
	return n
}

// keptPatience is how long the bus may take to say what it keeps.
const keptPatience = 2 * time.Second

// sentence is a change of state as a line of the log.
func sentence(e supervisor.Event) string {
	if e.From == e.To {
		return e.Ref.String() + " " + e.Cause
	}
	text := e.Ref.String() + " " + e.To.String()
	if e.To == supervisor.Running {
		text += fmt.Sprintf(" (pid %d)", e.PID)
	}
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	return text
}

// kindOf tells a change of health, which leaves the state as it is, from others.
func kindOf(e supervisor.Event) string {
	if e.From == e.To {
		return "health"
	}
	return "state"
}

// processEvent and busEvent carry what happened below to those who watch. Neither may block.
func (d *daemon) processEvent(e supervisor.Event) {
	wid := e.Ref.WID
	d.hub.Publish(control.Event{
		Time: e.Time, Kind: kindOf(e), Satellite: e.Ref.Name, WID: &wid, Incarnation: uint64(e.Inc), PID: e.PID,
		From: e.From.String(), To: e.To.String(), Cause: e.Cause,
	})
	d.manager.changed()
	level := slog.LevelInfo
	if e.To == supervisor.Backoff || e.To == supervisor.Fatal {
		level = slog.LevelWarn
	}
	d.log.Log(context.Background(), level, sentence(e))
}

func (d *daemon) busEvent(e bus.Event) {
	event := control.Event{Time: e.Time, Kind: "bus", Satellite: e.Step, Incarnation: uint64(e.Inc), Cause: e.Text}
	who := e.Step
	if e.Ref.Name != "" {
		wid := e.Ref.WID
		event.Satellite, event.WID = e.Ref.Name, &wid
		who = e.Ref.String()
	}
	d.hub.Publish(event)
	d.log.Info(fmt.Sprintf("%s bus: %s", who, e.Text))
}
