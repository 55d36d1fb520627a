package control

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// frame is one server-sent event.
type frame struct {
	id   string // valid from the frame it came with until the next one
	data []byte // nil when the frame carried an id only
}

// frames reads a text/event-stream.
type frames struct {
	lines *bufio.Scanner
}

func newFrames(r io.Reader) *frames {
	f := &frames{lines: scanner(r)}
	f.lines.Split(splitLine)
	return f
}

// next returns the next frame that carries an id or data. A frame cut off by the end of the stream is no frame. The end is
// io.EOF.
func (f *frames) next() (frame, error) {
	var current frame
	for f.lines.Scan() {
		line := f.lines.Text()
		if line == "" {
			if current.data != nil || current.id != "" {
				return current, nil
			}
			continue
		}
		field, value, _ := strings.Cut(line, ":") // a comment has an empty field
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "id" && !strings.ContainsRune(value, 0):
			current.id = value
		case field == "data" && current.data == nil:
			current.data = append([]byte{}, value...)
		case field == "data":
			current.data = append(append(current.data, '\n'), value...)
		}
	}
	if err := f.lines.Err(); err != nil {
		return frame{}, err
	}
	return frame{}, io.EOF
}

// splitLine knows the three line ends of an event stream: LF, CR LF and CR. It returns whole lines only, as the last one
// before a cut may be torn. After a CR it waits for the byte that tells whether an LF belongs to it.
func splitLine(data []byte, atEOF bool) (int, []byte, error) {
	i := bytes.IndexAny(data, "\r\n")
	switch {
	case i < 0 && atEOF:
		return len(data), nil, nil
	case i < 0:
		return 0, nil, nil
	case data[i] == '\n':
		return i + 1, data[:i], nil
	case i+1 < len(data) && data[i+1] == '\n':
		return i + 2, data[:i], nil
	case i+1 == len(data) && !atEOF:
		return 0, nil, nil
	}
	return i + 1, data[:i], nil
}
