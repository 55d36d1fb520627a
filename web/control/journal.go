package control

import (
	"context"
	"net/url"
)

// PathJournal answers GET with Journal; below it are verify and backup.
const PathJournal = "/v1/journal"

// Journal is the log on disk that durable queues stand on, or that of one stream, since it was opened. Where no queue is durable Dir is "".
type Journal struct {
	Stream    string        `json:"stream,omitempty"`
	Dir       string        `json:"dir"`
	Segments  int           `json:"segments"`  // files
	Bytes     int64         `json:"bytes"`     // of records, on disk
	Pending   int64         `json:"pending"`   // bytes that are not on disk yet: nobody was told that they are
	Oldest    uint64        `json:"oldest"`    // sequence of the oldest record that may be on disk
	Last      uint64        `json:"last"`      // of the last one written or waiting
	Committed uint64        `json:"committed"` // of the last one that is on disk with all before it
	Records   uint64        `json:"records"`   // committed
	Written   uint64        `json:"written"`   // bytes committed, with heads and marks
	Groups    uint64        `json:"groups"`    // group commits
	Syncs     uint64        `json:"syncs"`     // fdatasync calls
	SyncMean  float64       `json:"sync_mean"` // seconds
	SyncP50   float64       `json:"sync_p50"`  // seconds: half of the syncs took at most this (the next power of two of microseconds)
	SyncP99   float64       `json:"sync_p99"`
	Largest   uint32        `json:"largest"`  // records in the largest batch
	Released  uint64        `json:"released"` // segments removed
	Failures  uint64        `json:"failures"` // failed attempts to write or sync
	Full      bool          `json:"full"`     // nothing is let in that can wait
	Fault     string        `json:"fault,omitempty"`
	Found     *JournalFound `json:"found"` // when it was opened
	Streams   []Journal     `json:"streams,omitempty"`
}

// JournalFound is what was found when the journal was opened.
type JournalFound struct {
	Segments int             `json:"segments"`
	Records  uint64          `json:"records"`           // readable ones
	Tail     uint64          `json:"tail"`              // of them, written after the last sync that is proven
	Torn     int64           `json:"torn"`              // bytes cut: written after the last sync that is proven, and not whole
	Lost     uint64          `json:"lost"`              // records that were committed and cannot be read
	Damage   []JournalDamage `json:"damage,omitempty"`  // where; the files are kept
	Strange  []string        `json:"strange,omitempty"` // files that do not belong there; left alone
}

// JournalDamage is a place in a segment that cannot be read.
type JournalDamage struct {
	Segment string `json:"segment"`
	Offset  int64  `json:"offset"`
	Bytes   int64  `json:"bytes"`
	Records uint64 `json:"records"` // lost by it; 0: only a mark, padding or the segment's head
	After   uint64 `json:"after"`   // sequence of the last readable record before it
	Reason  string `json:"reason"`
	Aside   string `json:"aside,omitempty"` // where the file is kept as it was found
}

// JournalVerdict is what reading all of a journal has found, or of the log of one stream. Where no queue is durable Dir is "".
type JournalVerdict struct {
	Stream   string          `json:"stream,omitempty"`
	Dir      string          `json:"dir"`
	Segments int             `json:"segments"`
	Records  uint64          `json:"records"`
	Bytes    int64           `json:"bytes"`
	First    uint64          `json:"first"`
	Last     uint64          `json:"last"`
	Lost     uint64          `json:"lost"` // records that were committed and cannot be read
	Tail     uint64          `json:"tail"` // whole records behind the last sync that is proven, which the next start takes; not in Records
	Torn     int64           `json:"torn"` // bytes behind the last batch, of which nobody was told that they are on disk
	Damage   []JournalDamage `json:"damage"`
	Padding  []JournalDamage `json:"padding"` // only padding was changed: no record is lost
	Strange  []string        `json:"strange"` // files that do not belong there
	Aside    []string        `json:"aside"`   // damaged files that were kept

	Streams []JournalVerdict `json:"streams,omitempty"`
}

// Sound says that every record that was promised can be read, those of streams too.
func (v *JournalVerdict) Sound() bool {
	for i := range v.Streams {
		if !v.Streams[i].Sound() {
			return false
		}
	}
	return len(v.Damage) == 0 && len(v.Padding) == 0 && len(v.Strange) == 0
}

// JournalCopy is what a backup holds of the journal, or of one stream.
type JournalCopy struct {
	Stream   string `json:"stream,omitempty"`
	Dir      string `json:"dir"`
	Segments int    `json:"segments"`
	Linked   int    `json:"linked"` // of them, second names of the journal's own files
	Bytes    int64  `json:"bytes"`
	Last     uint64 `json:"last"`

	Streams []JournalCopy `json:"streams,omitempty"`
}

// Journal asks for the quantities of the journal and of the streams. KindNotFound: there are none.
func (c *Client) Journal(ctx context.Context) (*Journal, error) {
	return ask[Journal](ctx, c, get(PathJournal, nil))
}

// JournalVerify lets the daemon read all of its journal and its streams.
func (c *Client) JournalVerify(ctx context.Context) (*JournalVerdict, error) {
	return askLong[JournalVerdict](ctx, c, post(PathJournal+"/verify", nil))
}

// JournalBackup lets the daemon copy its journal and its streams to a directory, which is an absolute path on its machine.
func (c *Client) JournalBackup(ctx context.Context, to string) (*JournalCopy, error) {
	return askLong[JournalCopy](ctx, c, post(PathJournal+"/backup", url.Values{"to": {to}}))
}
