package control

// Queue is what waits for one step and what its workers hold. Ages are seconds.
type Queue struct {
	Step       string  `json:"step"`
	Delivery   string  `json:"delivery"`
	Waiting    int     `json:"waiting"`
	Bytes      int64   `json:"bytes"`
	InFlight   int     `json:"in_flight"` // dispatched and not yet answered
	Held       int     `json:"held"`      // waiting for the time of their retry
	OldestAge  float64 `json:"oldest_age"`
	Workers    int     `json:"workers"` // sessions that may be given work
	Quarantine int     `json:"quarantine"`
	Blocked    bool    `json:"blocked"`               // full, and those who fill it wait
	Delayed    int     `json:"delayed,omitempty"`     // of those held: their first time has not come
	Repeated   uint64  `json:"repeated,omitempty"`    // messages whose id was taken already
	Stuck      bool    `json:"stuck,omitempty"`       // blocked because the journal takes nothing
	Spilled    int     `json:"spilled,omitempty"`     // of those that wait or are held: their payloads are on disk, and not in memory
	SpillBytes int64   `json:"spill_bytes,omitempty"` // bytes of these
	Spills     uint64  `json:"spills,omitempty"`      // messages whose payloads went to disk for want of memory, ever
	Paused     bool    `json:"paused,omitempty"`      // nothing is given to its workers, on request
	Draining   bool    `json:"draining,omitempty"`    // nothing is let in, on request
	Breaker    string  `json:"breaker,omitempty"`     // closed, open or half-open; left out where there is none
	OpenFor    float64 `json:"open_for,omitempty"`    // an open breaker: seconds until it is half open
	OpenedBy   string  `json:"opened_by,omitempty"`   // why it opened last
	Opened     uint64  `json:"opened,omitempty"`      // how often it has
	Starved    int     `json:"starved,omitempty"`     // of those held: their time has come, and the budget for retries has no room
	Direct     *Direct `json:"direct,omitempty"`      // what came past the queue, along direct links
	Ledger     Ledger  `json:"ledger,omitzero"`       // left out in the status, which is to be quick

	// Only of the queues themselves, not in the status.
	Limit     *QueueLimit `json:"limit,omitempty"`
	Converted uint64      `json:"converted,omitempty"` // payloads written anew for it, in what it accepts, since dsatd started
	Misfits   uint64      `json:"misfits,omitempty"`   // payloads that could not be, and were set aside
	Rate      *QueueRate  `json:"rate,omitempty"`
	BlockedBy []string    `json:"blocked_by,omitempty"` // steps whose full queues are why it is given nothing, or why what it emits is not let in
	Blocks    []string    `json:"blocks,omitempty"`     // steps that wait because it is full
}

// QueueLimit is what a queue may hold.
type QueueLimit struct {
	Messages int    `json:"messages"`
	Bytes    int64  `json:"bytes"`
	Full     string `json:"full"` // what happens to a message that finds it full
}

// QueueRate is messages a second: that came into a queue, and that were done.
type QueueRate struct {
	In10s  float64 `json:"in_10s"`
	Out10s float64 `json:"out_10s"`
	In1m   float64 `json:"in_1m"`
	Out1m  float64 `json:"out_1m"`
}

// Direct counts the messages that went to a step along direct links, as senders and receivers tell it ten times a second.
type Direct struct {
	Receivers int    `json:"receivers"` // instances that listen
	Sent      uint64 `json:"sent"`
	Bytes     uint64 `json:"bytes"` // of the payloads sent
	Received  uint64 `json:"received"`
	Missed    uint64 `json:"missed"` // lost on the way, by the gaps that receivers saw
}

// QueueChange is what became of a queue that was paused, resumed, drained or purged.
type QueueChange struct {
	Queue  Queue `json:"queue"`
	Purged int   `json:"purged,omitempty"` // messages cancelled
}

// Ledger is the law of conservation over hops: Admitted = Done + Quarantined + Expired + Cancelled + Dropped +
// Diverted + Held + InFlight.
// The terminal terms are counters; Held and InFlight were found by walking the tables.
type Ledger struct {
	Admitted    uint64 `json:"admitted"`
	Done        uint64 `json:"done"`
	Quarantined uint64 `json:"quarantined"`
	Expired     uint64 `json:"expired"`
	Cancelled   uint64 `json:"cancelled"`
	Dropped     uint64 `json:"dropped"`
	Diverted    uint64 `json:"diverted,omitempty"` // to the fallback of a breaker, which has admitted it
	Held        uint64 `json:"held"`
	InFlight    uint64 `json:"in_flight"`
	Redelivered uint64 `json:"redelivered"` // not a term: attempts after the first
	Balanced    bool   `json:"balanced"`
}
