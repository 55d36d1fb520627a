package bus

import (
	"cmp"

	"github.com/dsat/dsat/bus/codec"
)

// The promise of a detached call to a durable step is in the journal: written with the first hop, with every output that comes while more
// is to come, and with the end of the task, in the same record as that. So it is true after whatever end of dsatd.

// promise is a reply on disk.
type promise struct {
	onDisk bool
	sealed bool
	ext    uint32
	size   int64 // about what it takes there
}

// replyWall is a reply as the journal tells it.
type replyWall struct {
	keptAnswer
	at, due int64 // wall ns: of the promise or the end; of the deadline, 0: it has none
	promise
}

// promised writes a reply as it is.
func (d *scroll) promised(t *tracker, k *keptReply) {
	if k.promise.sealed {
		d.cur.ended = append(d.cur.ended, parcel{k.promise.ext, k.promise.size})
	}
	from := len(d.buf)
	d.verse(verseReply)
	d.nextID(k.id)
	d.text(k.step)
	d.text(k.state)
	d.text(k.reason)
	d.span(t.wall(k.at))
	due := int64(0)
	if k.call != nil && k.call.due > 0 {
		due = t.wall(k.call.due)
	}
	d.span(due)
	d.number(uint64(k.omitted))
	d.number(uint64(len(k.results)))
	for _, r := range k.results {
		d.text(cmp.Or(r.Format, r.Codec))
		d.number(uint64(len(r.Payload)))
		d.buf = append(d.buf, r.Payload...)
	}
	k.promise = promise{onDisk: true, size: int64(len(d.buf)-from) + overhead}
	d.cur.promises = append(d.cur.promises, k)
	d.hold(k)
}

// hold keeps a reply that is on disk from being lost with the records around it.
func (d *scroll) hold(k *keptReply) {
	if d.promises == nil {
		d.promises = map[uint64]*keptReply{}
	}
	d.promises[k.id] = k
}

// kept writes that nobody wants a reply any more.
func (d *scroll) kept(k *keptReply) {
	if !k.promise.onDisk {
		return
	}
	d.verse(verseKept)
	d.nextID(k.id)
	if k.promise.sealed {
		d.cur.ended = append(d.cur.ended, parcel{k.promise.ext, k.promise.size})
	}
	k.promise = promise{}
	delete(d.promises, k.id)
}

// sealPromises takes note of where replies are.
func (d *scroll) sealPromises(c *turn, ext uint32) {
	for _, k := range c.promises {
		if p := &k.promise; p.onDisk && !p.sealed {
			p.sealed, p.ext = true, ext
			d.dead.lives(ext, p.size)
		}
	}
	clear(c.promises)
	c.promises = c.promises[:0]
}

// relocatePromises writes anew those that lie below the bound, and reports whether it came to their end.
func (t *tracker) relocatePromises(bound uint32) bool {
	for _, k := range t.scroll.promises {
		if t.scroll.large() {
			return false
		}
		if k.promise.sealed && k.promise.ext < bound {
			t.scroll.promised(t, k)
		}
	}
	return true
}

// promise reads what promised has written.
func (r *verses) promise(v *verse) {
	v.id = r.nextID()
	w := &replyWall{}
	w.ID, w.Step, w.State, w.Reason = v.id, r.text(), r.text(), r.text()
	w.at, w.due = int64(r.number()), int64(r.number())
	w.Omitted = int(r.number())
	for n := r.number(); n > 0 && r.err == nil; n-- {
		result := Result{Codec: r.text()}
		if spec, ok := codec.ParseText(result.Codec); ok && spec.Name == "struct" && spec.Format != "" {
			result.Codec, result.Format = spec.Name, result.Codec
		}
		result.Payload = append([]byte(nil), r.bytes()...)
		w.Results = append(w.Results, result)
	}
	v.reply = w
}

// length is about what a reply takes on disk.
func (w *replyWall) length() int64 {
	n := int64(len(w.Step)+len(w.State)+len(w.Reason)) + 24 + overhead
	for _, r := range w.Results {
		n += int64(len(r.Payload)+len(cmp.Or(r.Format, r.Codec))) + 4
	}
	return n
}

// promised takes a reply that was written, kept that nobody wants it any more.
func (r *recall) promised(v *verse, ext uint32, length int64) {
	r.kept(v.id)
	if v.id == 0 { // of no task
		return
	}
	v.reply.promise = promise{onDisk: true, sealed: true, ext: ext, size: length}
	r.replies[v.id] = v.reply
	r.estate.lives(ext, length)
}

func (r *recall) kept(id uint64) {
	if old := r.replies[id]; old != nil {
		r.estate.dies(parcel{old.ext, old.size})
		delete(r.replies, id)
	}
}

// recallReplies goes on with the replies that the journal has kept.
func (o *orchester) recallReplies(r *recall) {
	now := o.t.wall(o.now)
	for _, w := range r.replies {
		if w.due > 0 {
			w.Left = max(w.due-now, 1)
		}
		w.Age = max(now-w.at, 0)
		o.replies.old = append(o.replies.old, *w)
	}
}

// write puts a reply into the journal, or anew, if its step is durable.
func (k *keptReply) write(o *orchester) {
	if o.t.scroll != nil && (k.promise.onDisk || k.call != nil && k.call.to != nil && k.call.to.cfg.durable) {
		o.t.scroll.promised(o.t, k)
	}
}

// more reports whether other hops of its task are open beside the one that is being answered.
func (k *keptReply) more(o *orchester) bool { return o.t.tasks.at(k.call.task).open > 1 }
