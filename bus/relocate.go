package bus

// collect lets go of what the journal does not need any more.
func (t *tracker) collect(int64) {
	d := t.scroll
	if seq := d.dead.drop(); seq > 0 {
		d.log.Release(seq)
	}
}
