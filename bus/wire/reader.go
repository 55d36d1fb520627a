package wire

// Reader walks over the records of a frame that Parse has found whole. It reads views and allocates nothing.
type Reader struct {
	rest []byte
}

// Parse checks the whole shape of a frame, down to the outputs of its DONEs, and returns a Reader for it. The frame is not
// copied: it must not change while records of it are in use.
func Parse(frame []byte) (Reader, error) {
	if len(frame) < FrameHeader+RecordHeader {
		return Reader{}, ErrShort
	}
	if le.Uint32(frame) != Magic {
		return Reader{}, ErrMagic
	}
	if frame[4] != Version {
		return Reader{}, ErrOther
	}
	if frame[5] != 0 || frame[6] != 0 || frame[7] != 0 {
		return Reader{}, ErrPadding
	}
	length, count := le.Uint32(frame[8:]), le.Uint32(frame[12:])
	if uint64(length) != uint64(len(frame)) || count == 0 {
		return Reader{}, ErrLength
	}
	if count > MaxRecords || len(frame) > MaxMessage || (count > 1 && len(frame) > MaxFrame) {
		return Reader{}, ErrTooBig
	}
	rest := frame[FrameHeader:]
	for range count {
		n, err := check(rest)
		if err != nil {
			return Reader{}, err
		}
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return Reader{}, ErrLength
	}
	return Reader{rest: frame[FrameHeader:]}, nil
}

// check validates the record at the start of b and returns its size.
func check(b []byte) (int, error) {
	if len(b) < RecordHeader {
		return 0, ErrLength
	}
	length := le.Uint32(b)
	if length > MaxBody {
		return 0, ErrTooBig
	}
	size := RecordSize(int(length))
	if size > len(b) {
		return 0, ErrLength
	}
	kind := Kind(b[4])
	if kind == 0 || kind >= kinds {
		return 0, ErrKind
	}
	if !zero(b[RecordHeader+int(length) : size]) {
		return 0, ErrPadding
	}
	if kind == Done && length > 0 && !checkOutputs(b[RecordHeader:RecordHeader+int(length)]) {
		return 0, ErrOutputs
	}
	return size, nil
}

func checkOutputs(b []byte) bool {
	for len(b) > 0 {
		if len(b) < OutputHeader {
			return false
		}
		length := le.Uint32(b)
		if uint64(length) > uint64(len(b)) {
			return false
		}
		size := OutputHeader + padded(int(length))
		if size > len(b) || !zero(b[OutputHeader+int(length):size]) {
			return false
		}
		b = b[size:]
	}
	return true
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Next reads the next record into rec and reports whether there was one.
func (r *Reader) Next(rec *Record) bool {
	if len(r.rest) < RecordHeader {
		return false
	}
	h := r.rest[:RecordHeader]
	length := int(le.Uint32(h[0:]))
	rec.Kind, rec.Flags = Kind(h[4]), h[5]
	rec.Port = le.Uint16(h[6:])
	rec.Epoch = le.Uint32(h[8:])
	rec.Codec = Codec(le.Uint16(h[12:]))
	rec.Hops = le.Uint16(h[14:])
	rec.N = le.Uint64(h[16:])
	rec.M = le.Uint64(h[24:])
	rec.ID = le.Uint64(h[32:])
	rec.Time = int64(le.Uint64(h[40:]))
	rec.Body = r.rest[RecordHeader : RecordHeader+length : RecordHeader+length]
	r.rest = r.rest[RecordSize(length):]
	return true
}

// Outputs walks over the outputs in the body of a DONE.
type Outputs struct {
	rest []byte
}

// Outputs returns the walk over the outputs of a DONE that Parse has checked.
func (rec *Record) Outputs() Outputs { return Outputs{rest: rec.Body} }

// Next reads the next output into out and reports whether there was one.
func (o *Outputs) Next(out *Output) bool {
	if len(o.rest) < OutputHeader {
		return false
	}
	length := int(le.Uint32(o.rest))
	out.Port = le.Uint16(o.rest[4:])
	out.Codec = Codec(le.Uint16(o.rest[6:]))
	out.Payload = o.rest[OutputHeader : OutputHeader+length : OutputHeader+length]
	o.rest = o.rest[OutputHeader+padded(length):]
	return true
}
