package wire

// Builder writes a frame into a buffer that it keeps, so that a builder in use allocates nothing. The zero value is ready.
type Builder struct {
	buf   []byte
	count int
	open  int // offset of the record begun and not ended, 0: none
}

// Reset empties the frame and keeps the buffer, unless one huge record made it larger than max frames need.
func (b *Builder) Reset() {
	if cap(b.buf) > 4*MaxFrame {
		b.buf = nil
	}
	b.buf, b.count, b.open = b.buf[:0], 0, 0
}

// Swap empties the frame and goes on in buf, whose content is forgotten; it returns the buffer used until now.
func (b *Builder) Swap(buf []byte) []byte {
	old := b.buf
	b.buf, b.count, b.open = buf[:0], 0, 0
	return old
}

// Count is the number of records so far.
func (b *Builder) Count() int { return b.count }

// Len is the length of the frame so far in bytes.
func (b *Builder) Len() int { return len(b.buf) }

// Fits reports whether a record with a body of n bytes may be added. The first one always may, up to MaxBody.
func (b *Builder) Fits(n int) bool {
	if b.count == 0 {
		return n <= MaxBody
	}
	return b.count < MaxRecords && len(b.buf)+RecordSize(n) <= MaxFrame
}

// Add appends one record; the body is copied. Whoever adds has asked Fits.
func (b *Builder) Add(h *Header, body []byte) {
	b.header(h, len(body))
	b.payload(body)
	b.count++
}

// Begin starts a record whose body is built by Output; End ends it.
func (b *Builder) Begin(h *Header) {
	b.header(h, 0)
	b.open = len(b.buf) - RecordHeader
}

// Output appends one output to the DONE begun; the payload is copied.
func (b *Builder) Output(port uint16, codec Codec, payload []byte) {
	at := len(b.buf)
	b.buf = append(b.buf, zeros[:OutputHeader]...)
	h := b.buf[at : at+OutputHeader]
	le.PutUint32(h[0:], uint32(len(payload)))
	le.PutUint16(h[4:], port)
	le.PutUint16(h[6:], uint16(codec))
	b.payload(payload)
}

// End closes the record begun.
func (b *Builder) End() {
	le.PutUint32(b.buf[b.open:], uint32(len(b.buf)-b.open-RecordHeader))
	b.open = 0
	b.count++
}

// Frame completes the header and returns the frame, which is valid until the next change; nil when it is empty.
func (b *Builder) Frame() []byte {
	if b.count == 0 {
		return nil
	}
	le.PutUint32(b.buf[8:], uint32(len(b.buf)))
	le.PutUint32(b.buf[12:], uint32(b.count))
	return b.buf
}

var zeros [RecordHeader]byte

func (b *Builder) header(h *Header, length int) {
	if len(b.buf) == 0 {
		b.buf = append(b.buf, 'D', 'S', 'A', 'T', Version, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	at := len(b.buf)
	b.buf = append(b.buf, zeros[:]...)
	r := b.buf[at : at+RecordHeader]
	le.PutUint32(r[0:], uint32(length))
	r[4], r[5] = byte(h.Kind), h.Flags
	le.PutUint16(r[6:], h.Port)
	le.PutUint32(r[8:], h.Epoch)
	le.PutUint16(r[12:], uint16(h.Codec))
	le.PutUint16(r[14:], h.Hops)
	le.PutUint64(r[16:], h.N)
	le.PutUint64(r[24:], h.M)
	le.PutUint64(r[32:], h.ID)
	le.PutUint64(r[40:], uint64(h.Time))
}

func (b *Builder) payload(p []byte) {
	b.buf = append(b.buf, p...)
	if pad := padded(len(p)) - len(p); pad > 0 {
		b.buf = append(b.buf, zeros[:pad]...)
	}
}
