package bus

import (
	"testing"

	"github.com/dsat/dsat/bus/journal"
	"github.com/dsat/dsat/bus/wire"
)

// FuzzRecall reads arbitrary records of a journal: an error, or something a bus goes on with.
func FuzzRecall(f *testing.F) {
	st := newStage(f, keep(hookedSat("w")), keep(sat("mail")))
	l := st.disk()
	for _, payload := range []string{"one", "two", "three"} {
		k := &keptReply{step: "w", state: "running", accepted: func(Sent, error) {}}
		k.call = &sending{wait: true, lasting: true, by: k}
		st.o.send(k.call, "w", wire.Text, []byte(payload))
		st.sync(l)
	}
	st.commands()
	w := st.arrive("w", 0, 1)
	st.sync(l)
	w.done(w.hand(), "output")
	w.say(&wire.Header{Kind: wire.Fail, Epoch: 7, N: w.hand()}, []byte("no"))
	st.sync(l)
	for _, rec := range l.records {
		f.Add(rec.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := newRecall()
		for seq := range uint64(2) {
			if r.record(journal.Record{Seq: seq + 1, Kind: recordKind, At: journal.Position(4096 * (seq + 1)), Time: 1, Body: body}) != nil {
				return
			}
		}
		next := newStage(t, keep(hookedSat("w")), sat("mail"))
		next.commands()
		log := next.disk()
		tasks := map[uint64]int32{}
		next.o.recall(r, tasks)
		next.o.goOn(tasks)
		next.sync(log)
		next.ledger()
	})
}
