package web

import (
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/web/control"
)

// journal answers GET /v1/journal.
func (s *Server) journal(w http.ResponseWriter, _ *http.Request) error {
	list, err := s.cfg.Bus.Journals()
	if err != nil {
		return err
	}
	out := control.Journal{}
	for i := range list {
		if j := journalWords(&list[i]); j.Stream == "" {
			out = j
		} else {
			out.Streams = append(out.Streams, j)
		}
	}
	return answer(w, out)
}

func journalWords(j *bus.JournalStats) control.Journal {
	out := control.Journal{
		Stream: j.Stream,
		Dir:    j.Dir, Segments: j.Segments, Bytes: j.Bytes, Pending: j.Pending, Oldest: j.Oldest, Last: j.Last, Committed: j.Committed,
		Records: j.Records, Written: j.Written, Groups: j.Groups, Syncs: j.Syncs, Largest: j.Largest, Released: j.Released,
		Failures: j.Failures, Full: j.Full, Fault: j.Fault, SyncP50: syncQuantile(j, 0.5), SyncP99: syncQuantile(j, 0.99),
		Found: &control.JournalFound{
			Segments: j.Found.Segments, Records: j.Found.Records, Tail: j.Found.Tail, Torn: j.Found.Torn, Lost: j.Found.Lost, Strange: j.Found.Strange,
		},
	}
	if j.Syncs > 0 {
		out.SyncMean = j.SyncTime.Seconds() / float64(j.Syncs)
	}
	for _, d := range j.Found.Damage {
		out.Found.Damage = append(out.Found.Damage, control.JournalDamage(d))
	}
	return out
}

// syncQuantile is the bound of the bucket that a share of all syncs does not exceed, in seconds.
func syncQuantile(j *bus.JournalStats, share float64) float64 {
	var sum uint64
	for i, n := range j.Latency {
		if sum += n; n > 0 && float64(sum) >= share*float64(j.Syncs) {
			return (time.Microsecond << i).Seconds()
		}
	}
	return 0
}

// journalVerify answers POST /v1/journal/verify. It reads the disk on this caller's time, however long that takes.
func (s *Server) journalVerify(w http.ResponseWriter, r *http.Request) error {
	list, err := s.cfg.Bus.JournalVerify(r.Context())
	if err != nil {
		return err
	}
	out := control.JournalVerdict{}
	for _, v := range list {
		if v.Stream == "" {
			out = verdictWords(v)
		} else {
			out.Streams = append(out.Streams, verdictWords(v))
		}
	}
	return answer(w, out)
}

func verdictWords(v bus.JournalVerdict) control.JournalVerdict {
	out := control.JournalVerdict{
		Stream: v.Stream, Dir: v.Dir, Segments: v.Segments, Records: v.Records, Bytes: v.Bytes, First: v.First, Last: v.Last, Lost: v.Lost,
		Tail: v.Tail, Torn: v.Torn, Strange: v.Strange, Aside: v.Aside,
	}
	for _, d := range v.Damage {
		out.Damage = append(out.Damage, control.JournalDamage(d))
	}
	for _, d := range v.Padding {
		out.Padding = append(out.Padding, control.JournalDamage(d))
	}
	return out
}

// journalBackup answers POST /v1/journal/backup?to=/PATH.
func (s *Server) journalBackup(w http.ResponseWriter, r *http.Request) error {
	to := r.URL.Query().Get("to")
	if !filepath.IsAbs(to) {
		return invalid("cannot back up the journal to %q: ?to= names a new directory by its whole path", to)
	}
	list, err := s.cfg.Bus.JournalBackup(r.Context(), filepath.Clean(to))
	if err != nil {
		return err
	}
	out := control.JournalCopy{}
	for _, c := range list {
		x := control.JournalCopy{Stream: c.Stream, Dir: c.Dir, Segments: c.Segments, Linked: c.Linked, Bytes: c.Bytes, Last: c.Last}
		if c.Stream == "" {
			out = x
		} else {
			out.Streams = append(out.Streams, x)
		}
	}
	return answer(w, out)
}

// journalDescs are the metrics of the journal; absent when nothing is kept on disk.
type journalDescs struct {
	segments, bytes, pending, full, records, written, syncs, failures, lost *prometheus.Desc
}

func newJournalDescs(desc func(name, help string, labels ...string) *prometheus.Desc) journalDescs {
	return journalDescs{
		segments: desc("journal_segments", "Files of the journal."),
		bytes:    desc("journal_bytes", "Bytes of records in the journal."),
		pending:  desc("journal_pending_bytes", "Bytes that wait to be on disk, unacknowledged."),
		full:     desc("journal_full", "1 while the journal takes nothing that can wait: its disk is full, fails, or is too slow."),
		records:  desc("journal_records_total", "Records brought to disk."),
		written:  desc("journal_written_bytes_total", "Bytes brought to disk, with heads and marks."),
		syncs:    desc("journal_sync_duration_seconds", "Time that one fdatasync took; each commits a group of records."),
		failures: desc("journal_failures_total", "Failed attempts to write or sync; what they concerned was written anew elsewhere."),
		lost:     desc("journal_lost_records", "Records that were committed and could not be read when the journal was opened."),
	}
}

func (d *journalDescs) collect(ch chan<- prometheus.Metric, j *bus.JournalStats) {
	if j == nil {
		return
	}
	gauge(ch, d.segments, float64(j.Segments))
	gauge(ch, d.bytes, float64(j.Bytes))
	gauge(ch, d.pending, float64(j.Pending))
	gauge(ch, d.full, one(j.Full))
	counter(ch, d.records, float64(j.Records))
	counter(ch, d.written, float64(j.Written))
	counter(ch, d.failures, float64(j.Failures))
	gauge(ch, d.lost, float64(j.Found.Lost))
	buckets, sum := map[float64]uint64{}, uint64(0)
	for i, bound := range j.SyncBounds() {
		if sum += j.Latency[i]; i >= 4 && i <= 23 { // 16 us to 8 s
			buckets[bound] = sum
		}
	}
	ch <- prometheus.MustNewConstHistogram(d.syncs, j.Syncs, j.SyncTime.Seconds(), buckets)
}
