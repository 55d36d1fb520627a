package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/supervisor/logs"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// rooms is what a scrape reads: snapshots only, so that it never waits longer than a loop that works may need.
type rooms struct {
	satellites func() []supervisor.SatelliteStatus
	forwards   func() []logs.Forwarding
	bus        func() (bus.Stats, error)
	ready      func() bool
	strains    func(topology.Ref) []supervisor.Strain
}

// metrics answers GET /metrics from a registry of this server's own.
func (s *Server) metrics() func(http.ResponseWriter, *http.Request) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(rooms{
			satellites: s.cfg.Supervisor.Snapshot,
			forwards:   s.cfg.Supervisor.Forwardings,
			bus:        func() (bus.Stats, error) { return s.stats(context.Background()) },
			ready:      func() bool { return s.readiness().Ready },
			strains:    s.cfg.Supervisor.Strains,
		}, s.cfg.Version, s.since),
	)
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		Registry: registry, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 3, EnableOpenMetrics: true,
	})
	return func(w http.ResponseWriter, r *http.Request) error {
		handler.ServeHTTP(w, r)
		return nil
	}
}

// collector turns snapshots into const metrics at the moment of a scrape: no series outlives what it describes. Labels
// come from the topology only, so their number is bounded by it.
type collector struct {
	rooms   rooms
	version control.Version
	since   time.Time
	all     []*prometheus.Desc
	legacy  legacyMetrics

	build, started, ready                                                       *prometheus.Desc
	state, wanted, up, restarts, recycles, startTime, cpu, rss, strain, logLost *prometheus.Desc
	logSuppressed, forwarded, forwardLost                                       *prometheus.Desc
	waiting, bytes, inFlight, held, oldest, blocked, workers, quar              *prometheus.Desc
	admitted, admittedBytes, hops, redelivered, duration                        *prometheus.Desc
	failed, crashed, refused, healthy                                           *prometheus.Desc
	busUp, balanced, tasks, strays, evicted                                     *prometheus.Desc
	linkTaken, linkSkipped, linkFailed, unrouted                                *prometheus.Desc
	breaker, opened, paused, draining, starved, budgeted                        *prometheus.Desc
	delayed, repeated                                                           *prometheus.Desc
	spilled, spilledBytes, spills, spillsBytes                                  *prometheus.Desc

	calls               callDescs
	journal             journalDescs
	kept                streamDescs
	direct, directBytes *prometheus.Desc

	converted, misfits, mostMessages, mostBytes *prometheus.Desc
}

func newCollector(r rooms, version control.Version, since time.Time) *collector {
	instance, step := []string{"satellite", "wid"}, []string{"step"}
	var all []*prometheus.Desc
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		all = append(all, prometheus.NewDesc("dsat_"+name, help, labels, nil))
		return all[len(all)-1]
	}
	c := &collector{
		rooms: r, version: version, since: since,
		build:         desc("build_info", "What this dsatd was built from; always 1.", "version", "goversion", "zeromq"),
		started:       desc("start_time_seconds", "When this dsatd started, in seconds since the Unix epoch."),
		ready:         desc("ready", "1 when every wanted instance is ready, as /readyz tells."),
		state:         desc("instance_state", "1 for the state the instance is in, 0 for the others.", append(instance[:2:2], "state")...),
		wanted:        desc("instance_wanted", "1 when the instance is wanted up.", instance...),
		up:            desc("instance_up", "1 when the instance runs and is ready.", instance...),
		healthy:       desc("instance_healthy", "1 when every check of the running instance passes; missing without checks.", instance...),
		restarts:      desc("instance_restarts_total", "Spawns nobody asked for since dsatd started.", instance...),
		recycles:      desc("instance_recycles_total", "Times a worn process was replaced, by age, memory or messages, since dsatd started.", instance...),
		startTime:     desc("instance_start_time_seconds", "When the instance's process was spawned, in seconds since the Unix epoch.", instance...),
		cpu:           desc("instance_cpu_seconds_total", "User and system time of the instance's present process, without its children.", instance...),
		rss:           desc("instance_resident_memory_bytes", "Resident memory of the instance's present process.", instance...),
		strain:        desc("instance_limit_hits_total", "Times that one of its limits has held the instance back: memory given back at the limit, slow-downs at memory_high, periods of 100 ms that cpu has cut short, forks that pids has refused. As its control group counts: a stop that had to kill it begins anew.", append(instance[:2:2], "limit")...),
		logLost:       desc("instance_log_lost_lines_total", "Lines of output not written to the log file because the disk was full or too slow.", instance...),
		logSuppressed: desc("instance_log_suppressed_lines_total", "Lines of output dropped because they were above log.rate.", instance...),
		forwarded:     desc("log_forwarded_lines_total", "Lines sent to syslog and journald.", "to"),
		forwardLost:   desc("log_forward_lost_lines_total", "Lines not sent to syslog or journald, because it was away or too slow.", "to"),
		waiting:       desc("queue_messages", "Messages waiting for the step.", step...),
		bytes:         desc("queue_bytes", "Bytes of payload waiting for the step.", step...),
		inFlight:      desc("queue_in_flight_messages", "Messages dispatched to the step's instances and not yet answered.", step...),
		held:          desc("queue_held_messages", "Messages waiting for the time of their next attempt.", step...),
		oldest:        desc("queue_oldest_age_seconds", "Age of the oldest message waiting for the step or in hand there.", step...),
		blocked:       desc("queue_blocked", "1 while the queue is full and those who fill it wait.", step...),
		workers:       desc("queue_sessions", "Sessions of the step that may be given work.", step...),
		admitted:      desc("hops_admitted_total", "Hops admitted to the step's queue: the left side of the ledger.", step...),
		admittedBytes: desc("hops_admitted_bytes_total", "Payload bytes admitted to the step's queue.", step...),
		hops:          desc("hops_total", "Hops of the step by their end.", "step", "outcome"),
		redelivered:   desc("hops_redelivered_total", "Attempts after the first.", step...),
		duration:      desc("hop_duration_seconds", "Time from dispatch to the answer DONE.", step...),
		quar:          desc("quarantine_messages", "Messages set aside and still kept.", step...),
		failed:        desc("hops_failed_total", "Answers FAIL.", step...),
		crashed:       desc("hops_crashed_total", "Running hops whose process ended.", step...),
		refused:       desc("hops_refused_total", "Answers that came late, twice or for nothing.", step...),
		linkTaken:     desc("link_messages_total", "Messages that went from the step to another.", "step", "to"),
		linkSkipped:   desc("link_skipped_messages_total", "Messages that the link's conditions have kept from it.", "step", "to"),
		linkFailed:    desc("link_failed_messages_total", "Messages whose condition or key could not be told: a payload or a field that does not fit.", "step", "to"),
		unrouted:      desc("unrouted_messages_total", "Messages of the step that took no link.", step...),
		breaker:       desc("breaker_state", "1 for the state the step's breaker is in, 0 for the others; missing where there is none.", "step", "state"),
		opened:        desc("breaker_opened_total", "Times the step's breaker opened.", step...),
		paused:        desc("queue_paused", "1 while the step's workers are given nothing, on request.", step...),
		draining:      desc("queue_draining", "1 while nothing is let into the step's queue, on request.", step...),
		starved:       desc("queue_starved_messages", "Held messages whose time has come, and for which the budget for retries has no room.", step...),
		budgeted:      desc("hops_budgeted_total", "Retries that had to wait for room in the budget.", step...),
		delayed:       desc("queue_delayed_messages", "Held messages whose first time has not come.", step...),
		repeated:      desc("messages_repeated_total", "Messages not let in again, because their id was taken already.", step...),
		spilled:       desc("queue_spilled_messages", "Messages waiting for the step whose payloads are on disk, and not in memory.", step...),
		spilledBytes:  desc("queue_spilled_bytes", "Bytes of these messages.", step...),
		spills:        desc("messages_spilled_total", "Messages whose payloads went to disk because the step's queue had no room in memory.", step...),
		spillsBytes:   desc("messages_spilled_bytes_total", "Payload bytes of these messages.", step...),
		direct:        desc("direct_messages_total", "Messages that went to the step along direct links, past its queue: sent, received, or missed by receivers.", "step", "what"),
		directBytes:   desc("direct_sent_bytes_total", "Bytes of the payloads sent along direct links to the step.", step...),
		converted:     desc("messages_converted_total", "Payloads written anew for the step, in the codec it accepts.", step...),
		misfits:       desc("messages_unconvertible_total", "Payloads that could not be converted to what the step accepts, and were set aside.", step...),
		mostMessages:  desc("queue_limit_messages", "Messages that may wait for the step.", step...),
		mostBytes:     desc("queue_limit_bytes", "Bytes of payload that may wait for the step.", step...),
		busUp:         desc("bus_up", "1 when the bus answered this scrape; else what it counts is missing."),
		balanced:      desc("ledger_balanced", "1 when admitted equals the sum of all ends, held and in flight."),
		tasks:         desc("tasks", "Tasks that have not ended."),
		strays:        desc("bus_refused_frames_total", "Frames of unknown or outlived senders, refused."),
		evicted:       desc("quarantine_evicted_messages_total", "Messages in quarantine given up for room."),
	}
	c.calls, c.journal, c.kept = newCallDescs(desc), newJournalDescs(desc), newStreamDescs(desc)
	c.legacy = describeLegacy(desc)
	c.all = all
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.all {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge(ch, c.build, 1, c.version.Version, c.version.Go, c.version.ZeroMQ)
	gauge(ch, c.started, float64(c.since.UnixMilli())/1000)
	gauge(ch, c.ready, one(c.rooms.ready()))
	for _, sat := range c.rooms.satellites() {
		for _, in := range sat.Instances {
			c.instance(ch, in)
		}
	}
	for _, f := range c.rooms.forwards() {
		counter(ch, c.forwarded, float64(f.Sent), f.To)
		counter(ch, c.forwardLost, float64(f.Lost), f.To)
	}
	stats, err := c.rooms.bus()
	gauge(ch, c.busUp, one(err == nil))
	if err == nil {
		c.bus(ch, &stats)
	}
}

func (c *collector) bus(ch chan<- prometheus.Metric, stats *bus.Stats) {
	for i := range stats.Queues {
		c.step(ch, &stats.Queues[i])
	}
	c.legacyDoor(ch, stats.Legacy)
	for i := range stats.Routes {
		c.route(ch, &stats.Routes[i])
	}
	gauge(ch, c.balanced, one(stats.Ledger.Balanced()))
	gauge(ch, c.tasks, float64(stats.Tasks))
	counter(ch, c.strays, float64(stats.Strays))
	counter(ch, c.evicted, float64(stats.Evicted))
	c.calls.collect(ch, stats)
	c.journal.collect(ch, stats.Journal)
	c.kept.collect(ch, stats.Streams)
}

// route tells of the links of a step. An end may be one of several links; its counter is one.
func (c *collector) route(ch chan<- prometheus.Metric, r *bus.RouteStatus) {
	counter(ch, c.unrouted, float64(r.Unrouted), r.Step)
	ends := map[string]uint64{}
	for _, l := range r.Links {
		ends[l.To] = l.Taken
		for to, n := range l.Others {
			ends[to] = n
		}
		counter(ch, c.linkSkipped, float64(l.Skipped), r.Step, l.To)
		counter(ch, c.linkFailed, float64(l.Failed), r.Step, l.To)
	}
	for to, n := range ends {
		counter(ch, c.linkTaken, float64(n), r.Step, to)
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (c *collector) instance(ch chan<- prometheus.Metric, in supervisor.InstanceStatus) {
	labels := []string{in.Ref.Name, strconv.Itoa(in.Ref.WID)}
	for _, state := range []supervisor.State{
		supervisor.Stopped, supervisor.Starting, supervisor.Running, supervisor.Stopping, supervisor.Backoff, supervisor.Exited, supervisor.Fatal,
	} {
		gauge(ch, c.state, one(in.State == state), append(labels[:2:2], state.String())...)
	}
	gauge(ch, c.wanted, one(in.Want == supervisor.Up), labels...)
	gauge(ch, c.up, one(in.State == supervisor.Running && !in.Unready), labels...)
	if in.Health != supervisor.Unchecked {
		gauge(ch, c.healthy, one(in.Health == supervisor.Healthy), labels...)
	}
	counter(ch, c.restarts, float64(in.Restarts), labels...)
	counter(ch, c.recycles, float64(in.Recycles), labels...)
	for _, s := range c.rooms.strains(in.Ref) {
		counter(ch, c.strain, float64(s.Hits), append(labels[:2:2], s.Limit)...)
	}
	counter(ch, c.logLost, float64(in.LogLost), labels...)
	counter(ch, c.logSuppressed, float64(in.LogSuppressed), labels...)
	if in.PID == 0 {
		return
	}
	gauge(ch, c.startTime, float64(in.Started.UnixMilli())/1000, labels...)
	// The process may end between the snapshot and this look; then it simply has no usage any more.
	if u, err := readUsage(in.PID); err == nil {
		counter(ch, c.cpu, u.cpu, labels...)
		gauge(ch, c.rss, float64(u.rss), labels...)
	}
}

func (c *collector) step(ch chan<- prometheus.Metric, q *bus.QueueStatus) {
	gauge(ch, c.waiting, float64(q.Waiting), q.Step)
	gauge(ch, c.bytes, float64(q.Bytes), q.Step)
	gauge(ch, c.inFlight, float64(q.InFlight), q.Step)
	gauge(ch, c.held, float64(q.Held), q.Step)
	gauge(ch, c.oldest, q.OldestAge.Seconds(), q.Step)
	gauge(ch, c.blocked, one(q.Blocked), q.Step)
	gauge(ch, c.workers, float64(q.Workers), q.Step)
	gauge(ch, c.quar, float64(q.Quarantine), q.Step)
	counter(ch, c.admitted, float64(q.Ledger.Admitted), q.Step)
	counter(ch, c.admittedBytes, float64(q.BytesIn), q.Step)
	counter(ch, c.redelivered, float64(q.Ledger.Redelivered), q.Step)
	counter(ch, c.hops, float64(q.Ledger.Done), q.Step, "done")
	counter(ch, c.hops, float64(q.Ledger.Quarantined), q.Step, "quarantined")
	counter(ch, c.hops, float64(q.Ledger.Expired), q.Step, "expired")
	counter(ch, c.hops, float64(q.Ledger.Cancelled), q.Step, "cancelled")
	counter(ch, c.hops, float64(q.Ledger.Dropped), q.Step, "dropped")
	counter(ch, c.hops, float64(q.Ledger.Diverted), q.Step, "diverted")
	if q.Breaker != "" {
		for _, state := range []string{"closed", "open", "half-open"} {
			gauge(ch, c.breaker, one(q.Breaker == state), q.Step, state)
		}
		counter(ch, c.opened, float64(q.Opened), q.Step)
	}
	gauge(ch, c.delayed, float64(q.Delayed), q.Step)
	counter(ch, c.repeated, float64(q.Repeated), q.Step)
	counter(ch, c.converted, float64(q.Converted), q.Step)
	counter(ch, c.misfits, float64(q.Misfits), q.Step)
	gauge(ch, c.mostMessages, float64(q.MaxMessages), q.Step)
	gauge(ch, c.mostBytes, float64(q.MaxBytes), q.Step)
	gauge(ch, c.spilled, float64(q.Spilled), q.Step)
	gauge(ch, c.spilledBytes, float64(q.SpillBytes), q.Step)
	counter(ch, c.spills, float64(q.Spills), q.Step)
	counter(ch, c.spillsBytes, float64(q.SpillsIn), q.Step)
	gauge(ch, c.paused, one(q.Paused), q.Step)
	gauge(ch, c.draining, one(q.Draining), q.Step)
	gauge(ch, c.starved, float64(q.Starved), q.Step)
	counter(ch, c.budgeted, float64(q.Budgeted), q.Step)
	if d := q.Direct; d != nil {
		counter(ch, c.direct, float64(d.Sent), q.Step, "sent")
		counter(ch, c.direct, float64(d.Received), q.Step, "received")
		counter(ch, c.direct, float64(d.Missed), q.Step, "missed")
		counter(ch, c.directBytes, float64(d.Bytes), q.Step)
	}
	counter(ch, c.failed, float64(q.Failed), q.Step)
	counter(ch, c.crashed, float64(q.Crashed), q.Step)
	counter(ch, c.refused, float64(q.Refused), q.Step)
	ch <- prometheus.MustNewConstHistogram(c.duration, q.Latency.Count(), q.Latency.Sum.Seconds(), cumulative(&q.Latency), q.Step)
}

// cumulative turns the bus's buckets into Prometheus's, where each holds all below its bound.
func cumulative(h *bus.Histogram) map[float64]uint64 {
	buckets := map[float64]uint64{}
	sum := uint64(0)
	for i, bound := range h.Bounds() {
		sum += h.Counts[i]
		buckets[bound] = sum
	}
	return buckets
}
