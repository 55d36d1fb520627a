// Package control is the words of dsatd's HTTP API and a client for them. It needs the standard library only, so that
// dsatctl starts in a millisecond and other Go programs may import it at no cost.
package control

import (
	"encoding/json"
	"time"
)

// Status is what GET /v1/status answers.
type Status struct {
	Name       string        `json:"name"`
	Version    string        `json:"version"`
	PID        int           `json:"pid"`
	Epoch      uint64        `json:"epoch"`
	Since      time.Time     `json:"since"`
	RunDir     string        `json:"run_dir"`
	StateDir   string        `json:"state_dir"`
	HTTP       string        `json:"http,omitempty"` // the TCP listener's address as bound
	State      string        `json:"state"`          // starting, running, stopping
	Ready      bool          `json:"ready"`
	Why        string        `json:"why,omitempty"` // one sentence when something is missing in this answer
	Satellites []Satellite   `json:"satellites"`
	Ledger     *Ledger       `json:"ledger,omitempty"`  // nil when nothing speaks to the bus
	Journal    *JournalBrief `json:"journal,omitempty"` // nil when no queue is durable, and none was
}

// JournalBrief is how the journal of durable queues is.
type JournalBrief struct {
	Dir     string `json:"dir"`
	Bytes   int64  `json:"bytes"`           // of records on disk
	Pending int64  `json:"pending"`         // bytes that are not on disk yet
	Full    bool   `json:"full,omitempty"`  // nothing is taken that can wait
	Fault   string `json:"fault,omitempty"` // why not
}

// Satellite is one named entry of the topology.
type Satellite struct {
	Name      string     `json:"name"`
	Want      string     `json:"want"`  // up or down
	State     string     `json:"state"` // the worst of its instances' states; "stopped" without any
	Speaks    string     `json:"speaks"`
	Why       string     `json:"why,omitempty"` // one sentence when it is not in its wanted state
	Instances []Instance `json:"instances"`
	Queue     *Queue     `json:"queue,omitempty"`
	Group     string     `json:"group,omitempty"` // that it is a member of
	Schedules []Schedule `json:"schedules,omitempty"`
	LastRun   *Run       `json:"last_run,omitempty"` // of what has schedules
}

// Schedule is one schedule of a satellite.
type Schedule struct {
	Name    string    `json:"name,omitempty"`
	Cron    string    `json:"cron,omitempty"`
	Every   float64   `json:"every,omitempty"` // seconds, where it has no cron
	Action  string    `json:"action"`          // start, restart, signal:HUP
	Next    time.Time `json:"next,omitzero"`
	Last    time.Time `json:"last,omitzero"`     // when the newest run was due
	Owed    int       `json:"owed,omitempty"`    // missed runs that are made up
	Waiting bool      `json:"waiting,omitempty"` // a run waits for the end of the one before
	Note    string    `json:"note,omitempty"`    // when the last run did not take place as said
}

// Run is the last run of a satellite.
type Run struct {
	Began  time.Time `json:"began,omitzero"`
	Ended  time.Time `json:"ended,omitzero"` // of the last run that is over, which may be the one before
	Well   bool      `json:"well"`           // that ended well
	Result string    `json:"result,omitempty"`
}

// Instance is one slot of a satellite.
type Instance struct {
	WID         int       `json:"wid"`
	State       string    `json:"state"` // stopped starting running stopping backoff exited fatal
	PID         int       `json:"pid,omitempty"`
	Incarnation uint64    `json:"incarnation"`
	Restarts    int       `json:"restarts"` // spawns nobody asked for, since dsatd started
	Since       time.Time `json:"since"`    // of the state
	Why         string    `json:"why,omitempty"`
	Recycles    int       `json:"recycles,omitempty"`    // times its process was replaced, because it was worn
	LogLost     uint64    `json:"log_lost,omitempty"`    // lines not written to its log file: the disk was full or too slow
	LogDropped  uint64    `json:"log_dropped,omitempty"` // lines above log.rate
	Said        string    `json:"said,omitempty"`        // its own words: STATUS through NOTIFY_SOCKET
	Reloading   bool      `json:"reloading,omitempty"`   // it says that it reads its configuration again
	LastExit    string    `json:"last_exit,omitempty"`   // "exit code 3", "killed by signal 9 (SIGKILL)"
	Health      string    `json:"health,omitempty"`      // checking, healthy or unhealthy of a running one that has checks
	Unready     bool      `json:"unready,omitempty"`     // runs, and a check took its readiness away
}

// Event is one thing that happened; events have increasing sequence numbers within one epoch.
type Event struct {
	Seq         uint64    `json:"seq"`
	Time        time.Time `json:"time"`
	Kind        string    `json:"kind"` // state, health, log, bus, daemon
	Satellite   string    `json:"satellite,omitempty"`
	WID         *int      `json:"wid,omitempty"`
	Incarnation uint64    `json:"incarnation,omitempty"`
	PID         int       `json:"pid,omitempty"`
	From        string    `json:"from,omitempty"` // state before, for kind state
	To          string    `json:"to,omitempty"`
	Cause       string    `json:"cause"` // one sentence
}

// LogLine is one line of captured output.
type LogLine struct {
	Seq    uint64    `json:"seq"`  // grows over all instances; 0: read from a file
	Time   time.Time `json:"time"` // no two lines of an instance have the same
	Name   string    `json:"name"`
	WID    int       `json:"wid"`
	Stream string    `json:"stream"` // stdout or stderr
	Text   string    `json:"text"`
	Lost   uint64    `json:"lost,omitempty"` // lines before this one that the reader was too slow for
}

// Change is the answer to start, stop, restart, scale and signal.
type Change struct {
	Instances []ChangedInstance `json:"instances"`
}

// ChangedInstance is one instance after a change.
type ChangedInstance struct {
	Name  string `json:"name"`
	WID   int    `json:"wid"`
	State string `json:"state"`
	PID   int    `json:"pid,omitempty"`
	Error string `json:"error,omitempty"`
}

// Task is what GET /v1/tasks/ID answers: a message and all that descends from it.
type Task struct {
	ID      string `json:"id"`
	State   string `json:"state"` // running, done, failed, unknown
	Open    int    `json:"open"`  // hops not yet terminal
	Hops    []Hop  `json:"hops"`  // the newest kept ones
	Results []Body `json:"results,omitempty"`

	Began time.Time `json:"began,omitzero"` // when the first of Hops was admitted
}

// Hop is one message on one link.
type Hop struct {
	ID       string  `json:"id"` // EPOCH.NUMBER
	Step     string  `json:"step"`
	State    string  `json:"state"` // waiting, in_flight, held, done, quarantined, expired, cancelled, dropped, diverted
	Instance string  `json:"instance,omitempty"`
	Attempts int     `json:"attempts"`
	Age      float64 `json:"age"` // seconds since admission; of an ended one, up to its end
	Reason   string  `json:"reason,omitempty"`

	// The trace, in seconds since Task.Began.
	From     string  `json:"from,omitempty"` // the step that put it out; "": outside, or not known any more
	Admitted float64 `json:"admitted"`
	Ended    float64 `json:"ended,omitempty"`
	Tries    []Try   `json:"tries,omitempty"` // attempts, oldest first; the first eight failures and the last one
}

// Try is one attempt of a message, in seconds since Task.Began.
type Try struct {
	Instance string  `json:"instance"`
	Sent     float64 `json:"sent"`            // given to the instance
	Ended    float64 `json:"ended,omitempty"` // answered, or its process ended; 0: it is in hand
	Failed   string  `json:"failed,omitempty"`
}

// Body is a payload in transit through JSON: Text when it is valid UTF-8, Base64 otherwise.
type Body struct {
	Codec  string          `json:"codec,omitempty"`
	Text   string          `json:"text,omitempty"`
	Base64 []byte          `json:"base64,omitempty"`
	JSON   json.RawMessage `json:"json,omitempty"` // of a message in quarantine, and of an output in cbor or struct: what its codec makes of it
}

// Sent is the answer to POST /v1/send/STEP.
type Sent struct {
	Task    string `json:"task"`
	State   string `json:"state"`             // accepted; with wait: done, failed, or running when the wait was over first (status 200 all the same); of a call done, failed or expired
	Results []Body `json:"results,omitempty"` // with wait: what came out at the last steps
	Repeat  bool   `json:"repeat,omitempty"`  // its id was taken already: the task is that of the first one
	Omitted int    `json:"omitted,omitempty"` // outputs that are not among them: they were more than 16 MiB
	Reason  string `json:"reason,omitempty"`
}

// Quarantined is a message set aside, with the evidence why.
type Quarantined struct {
	ID       string    `json:"id"`
	Step     string    `json:"step"`
	Task     string    `json:"task"`
	Time     time.Time `json:"time"`
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	Crashes  int       `json:"crashes"`
	Size     int       `json:"size"`
	Codec    string    `json:"codec"`
	Evidence []string  `json:"evidence,omitempty"` // exit causes and the last log lines
	Payload  *Body     `json:"payload,omitempty"`  // only in the answer for one id, and of export
}

// Changed is the answer to retry and drop: the messages it was done to.
type Changed struct {
	IDs  []string `json:"ids"`
	Left int      `json:"left,omitempty"` // of all: messages whose step cannot take them now; they stay
	Why  string   `json:"why,omitempty"`  // of the first one left
}

// Ready is what GET /readyz?verbose answers.
type Ready struct {
	Ready bool     `json:"ready"`
	Why   []string `json:"why,omitempty"`
	Notes []string `json:"notes,omitempty"` // what is wrong and keeps nobody from being ready
}

// Version is what GET /v1/version answers.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	ZeroMQ  string `json:"zeromq,omitempty"`
}

// The paths of the API. NAME is a satellite, NAME:WID an instance, group:NAME the members of a group, or a glob of one; several are joined by commas.
//
//	GET  /v1/status                                 Status
//	GET  /v1/version                                Version
//	POST /v1/satellites/{names}/start|stop|restart  Change; ?timeout=30s (default: waits as long as the deadlines allow)
//	POST /v1/satellites/{name}/scale?n=4            Change; ?timeout=30s
//	POST /v1/satellites/{names}/signal?signal=HUP   Change
//	POST /v1/satellites/{name}/run                  101 (Upgrade: dsat-run), then what run.go tells
//	GET  /v1/logs/{names}?n=100&follow=1            LogLine per line (application/x-ndjson); an empty line means nothing;
//	                                                &since=10m&until=TIME&grep=RE&stream=stderr; n is all where there is a time
//	GET  /events?since=SEQ                          Event as server-sent events, id is EPOCH-SEQ: the kept ones greater than SEQ (default: all), then those
//	                                                to come; ?follow=0 ends after the kept ones; Last-Event-ID wins over since, and when it is of another
//	                                                epoch all kept ones come. Events are numbered without gaps, so that a reader sees what it lost
//	POST /v1/down?timeout=30s                       {} at once; the daemon stops afterwards
//	POST /v1/upgrade?binary=/PATH&timeout=30s       an Error when it could not be; else the connection ends, and the next daemon answers
//	GET  /v1/boot                                   Boot
//	GET  /v1/sockets                                Sockets
//	GET  /v1/doctor                                 []Finding
//	GET  /v1/queues                                 []Queue
//	GET  /v1/routes                                 Routes
//	POST /v1/queues/{step}/pause|resume|drain|purge QueueChange; drain with ?wait=30s answers when nothing is left there, or the wait is over
//	POST /v1/send/{step}?codec=json&wait=30s        body is the payload; Sent; &id=TEXT&delay=10s|at=TIME&ttl=1m|deadline=TIME&priority=5
//	GET  /v1/tap?from=NAME&to=NAME&sample=10&rate=5 Tapped as server-sent events "message"; ?count=1: []LinkRate as "count" every second
//	GET  /v1/tasks/{id}                             Task
//	GET  /v1/tasks/{id}/why                         Why
//	POST /v1/tasks/{id}/cancel                      Task, as it is then
//	GET  /v1/quarantine?step=NAME&reason=RE         []Quarantined
//	GET  /v1/quarantine/{id}                        Quarantined with payload
//	GET  /v1/quarantine/export?step=NAME&reason=RE  Quarantined with payload per line (application/x-ndjson)
//	POST /v1/quarantine/{id}/edit?codec=json        body is the new payload; Quarantined
//	POST /v1/quarantine/{id}/retry|drop             Changed; id may be "all", with ?step=NAME&reason=RE
//	GET  /v1/journal                                Journal
//	POST /v1/journal/verify                         JournalVerdict
//	POST /v1/journal/backup?to=/PATH                JournalCopy
//	POST /v1/plan                                   Plan; body ChangeRequest
//	POST /v1/apply                                  Applied, once it is done or undone; body ChangeRequest
//	GET  /v1/config/{names}                         []Setting
//	GET  /v1/runtime                                Runtime
//	GET  /livez /readyz?verbose /metrics /
const (
	PathStatus     = "/v1/status"
	PathVersion    = "/v1/version"
	PathSatellites = "/v1/satellites/"
	PathLogs       = "/v1/logs/"
	PathEvents     = "/events"
	PathDown       = "/v1/down"
	PathUpgrade    = "/v1/upgrade"
	PathDoctor     = "/v1/doctor"
	PathQueues     = "/v1/queues"
	PathSend       = "/v1/send/"
	PathTap        = "/v1/tap"
	PathStreams    = "/v1/streams"
	PathTasks      = "/v1/tasks/"
	PathQuarantine = "/v1/quarantine"
)

// SocketName is the control socket's file name in the run directory.
const SocketName = "control.sock"
