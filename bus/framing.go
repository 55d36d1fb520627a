package bus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/dsat/dsat/bus/wire"
	"github.com/dsat/dsat/topology"
)

// lineMax bounds one answer of a filter.
const lineMax = 1 << 20

// framing is how a filter tells one message from the next.
type framing struct {
	speaks topology.Speaks
	tty    bool
	emits  wire.Codec
}

func newFraming(sat *topology.Satellite) framing {
	emits, _ := wire.ParseCodec(sat.Writes().Name) // the topology has checked it
	return framing{sat.Speaks, sat.TTY, emits}
}

func (f framing) codec() wire.Codec { return f.emits }

// question appends one payload in this form.
func (f framing) question(to, payload []byte) ([]byte, error) {
	switch f.speaks {
	case topology.SpeaksFrames:
		to = binary.BigEndian.AppendUint32(to, uint32(len(payload)))
		return append(to, payload...), nil
	case topology.SpeaksJSON:
		buf := bytes.NewBuffer(to)
		if err := json.Compact(buf, payload); err != nil {
			return to, fmt.Errorf("cannot hand it to a filter that speaks json: %w", err)
		}
		return append(buf.Bytes(), '\n'), nil
	default:
		payload = bytes.TrimSuffix(payload, []byte("\n"))
		if bytes.IndexByte(payload, '\n') >= 0 {
			return to, errors.New("cannot hand it to a filter that speaks lines: it has more than one line")
		}
		to = append(to, payload...)
		return append(to, '\n'), nil
	}
}

// check says why an answer is not in this form.
func (f framing) check(payload []byte) error {
	if f.speaks == topology.SpeaksJSON && !json.Valid(payload) {
		return fmt.Errorf("cannot take the answer of a filter that speaks json: %.80q is not JSON", payload)
	}
	return nil
}

// answers reads a filter's output, message by message.
type answers struct {
	form framing
	r    *bufio.Reader
	buf  []byte // of a message that is longer than what was read at once: what was taken out of r, as it came
}

func newAnswers(r io.Reader, f framing) *answers {
	return &answers{form: f, r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next message, valid until the call after it. A last line without its end is no message: its program died
// while writing it.
func (a *answers) next() ([]byte, error) {
	a.buf = a.buf[:0]
	if a.form.speaks == topology.SpeaksFrames {
		return a.frame()
	}
	for {
		part, err := a.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if err == nil && len(a.buf) == 0 {
			return a.trim(part), nil
		}
		if a.buf = append(a.buf, part...); len(a.buf) > lineMax {
			return nil, violated("a line of its output is longer than %d bytes", lineMax)
		}
		if err == nil {
			return a.trim(a.buf), nil
		}
	}
}

func (a *answers) trim(line []byte) []byte {
	line = line[:len(line)-1]
	if a.form.tty {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	return line
}

// frameHead is the length before a frame.
const frameHead = 4

// frame takes a frame out of the reader as a whole, so that one that has come in part stays there.
func (a *answers) frame() ([]byte, error) {
	head, err := a.r.Peek(frameHead)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if n > lineMax {
		return nil, violated("a frame of its output has %d bytes; at most %d are taken", n, lineMax)
	}
	whole := frameHead + int(n)
	if whole <= a.r.Size() {
		b, err := a.r.Peek(whole)
		if err != nil {
			return nil, err
		}
		_, err = a.r.Discard(whole)
		return b[frameHead:], err
	}
	for len(a.buf) < whole {
		if _, err := a.r.Peek(1); err != nil {
			return nil, err
		}
		b, err := a.r.Peek(min(a.r.Buffered(), whole-len(a.buf)))
		if err != nil {
			return nil, err
		}
		a.buf = append(a.buf, b...)
		if _, err := a.r.Discard(len(b)); err != nil {
			return nil, err
		}
	}
	return a.buf[frameHead:], nil
}

// rest is what was read and is not a whole message yet, and what came after it. Nobody may be reading.
func (a *answers) rest() []byte {
	b, _ := a.r.Peek(a.r.Buffered()) // what is buffered is there
	return append(append([]byte(nil), a.buf...), b...)
}

// more reports whether another whole message is already here.
func (a *answers) more() bool {
	n := a.r.Buffered()
	b, err := a.r.Peek(n)
	if n == 0 || err != nil {
		return false
	}
	if a.form.speaks == topology.SpeaksFrames {
		return n >= 4 && uint64(n-4) >= uint64(binary.BigEndian.Uint32(b))
	}
	return bytes.IndexByte(b, '\n') >= 0
}

// terminalClosed reports whether a pseudo terminal has lost its last process.
func terminalClosed(err error) bool { return errors.Is(err, syscall.EIO) }
