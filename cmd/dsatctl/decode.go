package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/bus/codec"
	v1 "github.com/dsat/dsat/bus/v1"
	"github.com/dsat/dsat/bus/wire"
)

const decodeHelp = `Take apart what travels on the bus, without a daemon: frames of dsat's protocol (one after another), a vector of DSAT 0.6, or, with
--codec, a payload. FILE is the bytes themselves or their hexadecimal digits; without it, and with -, they come from stdin.

--codec is raw, text, json, cbor or struct; struct wants --format, a format of Python's module struct, and takes --fields, the names of
its values.`

// decodeLimit is the most that is taken apart, in bytes.
const decodeLimit = 64 << 20

func (t *tool) decodeCommand() *cobra.Command {
	spec := codec.Spec{}
	cmd := &cobra.Command{
		Use:     "decode [FILE|-]",
		Short:   "Take apart a frame, a vector of DSAT 0.6, or a payload",
		Long:    decodeHelp,
		Example: "  dsatctl decode frame.bin\n  echo a26161016162f6 | dsatctl decode --codec cbor\n  dsatctl decode --codec struct --format '<Id' --fields n,load payload.bin",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := t.decodable(args)
			if err != nil {
				return err
			}
			if spec.Name != "" || spec.Format != "" {
				return t.decodePayload(spec, b)
			}
			return t.decode(b)
		},
	}
	cmd.Flags().StringVar(&spec.Name, "codec", "", "codec of a payload")
	cmd.Flags().StringVar(&spec.Format, "format", "", "format of codec struct")
	cmd.Flags().StringSliceVar(&spec.Fields, "fields", nil, "names of the values of codec struct")
	return cmd
}

// decodable reads the input, and its hexadecimal digits where it has nothing else.
func (t *tool) decodable(args []string) ([]byte, error) {
	in := t.in
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return nil, fmt.Errorf("cannot decode: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, decodeLimit+1))
	if err != nil {
		return nil, fmt.Errorf("cannot decode: %w", err)
	}
	if len(b) > decodeLimit {
		return nil, fmt.Errorf("cannot decode more than %d bytes", decodeLimit)
	}
	digits := bytes.Join(bytes.Fields(b), nil)
	if plain, err := hex.DecodeString(string(digits)); err == nil && len(plain) > 0 {
		return plain, nil
	}
	return b, nil
}

func (t *tool) decodePayload(spec codec.Spec, b []byte) error {
	if spec.Name == "" {
		spec.Name = "struct"
	}
	c, err := codec.New(spec)
	if err != nil {
		return err
	}
	if _, err := c.Decode(b); err != nil {
		return fmt.Errorf("cannot decode %d bytes as %s: %w", len(b), spec, err)
	}
	_, err = fmt.Fprintf(t.out, "%s\n", codec.Render(c, b))
	return err
}

// decodedRecord is one record of a frame.
type decodedRecord struct {
	Frame   int               `json:"frame"` // from 1
	Kind    string            `json:"kind"`
	Flags   uint8             `json:"flags,omitempty"`
	Port    uint16            `json:"port"`
	Epoch   uint32            `json:"epoch"`
	Codec   string            `json:"codec"`
	Hops    uint16            `json:"hops,omitempty"`
	N       uint64            `json:"n,omitempty"`
	M       uint64            `json:"m,omitempty"`
	ID      string            `json:"id,omitempty"`
	Time    int64             `json:"time,omitempty"`
	Size    int               `json:"size"`
	Body    json.RawMessage   `json:"body,omitempty"`
	Outputs []json.RawMessage `json:"outputs,omitempty"`
}

func (t *tool) decode(b []byte) error {
	if len(b) >= 4 && binary.LittleEndian.Uint32(b) == wire.Magic {
		return t.decodeFrames(b)
	}
	v, err := v1.Parse(b)
	if err != nil {
		return fmt.Errorf("cannot decode %d bytes: they are no frame, which begins with DSAT, and no vector of DSAT 0.6 (%w); --codec says that they are a payload", len(b), err)
	}
	return t.decodeVector(&v)
}

func (t *tool) decodeFrames(b []byte) error {
	for n := 1; len(b) > 0; n++ {
		if len(b) < wire.FrameHeader {
			return fmt.Errorf("cannot decode frame %d: %d bytes are left, its header has %d", n, len(b), wire.FrameHeader)
		}
		size := int(binary.LittleEndian.Uint32(b[8:]))
		if size > len(b) {
			return fmt.Errorf("cannot decode frame %d: it says that it has %d bytes, and %d are left", n, size, len(b))
		}
		r, err := wire.Parse(b[:max(size, 0)])
		if err != nil {
			return fmt.Errorf("cannot decode frame %d: %w", n, err)
		}
		var rec wire.Record
		for r.Next(&rec) {
			if err := t.decodedRecord(n, &rec); err != nil {
				return err
			}
		}
		b = b[size:]
	}
	return nil
}

func (t *tool) decodedRecord(n int, rec *wire.Record) error {
	d := decodedRecord{Frame: n, Kind: rec.Kind.String(), Flags: rec.Flags, Port: rec.Port, Epoch: rec.Epoch, Codec: rec.Codec.String(),
		Hops: rec.Hops, N: rec.N, M: rec.M, Time: rec.Time, Size: len(rec.Body)}
	if rec.ID != 0 {
		d.ID = wire.ID(rec.ID).String()
	}
	switch {
	case rec.Kind == wire.Done:
		var out wire.Output
		for it := rec.Outputs(); it.Next(&out); {
			d.Outputs = append(d.Outputs, readable(out.Codec, out.Payload))
		}
	case len(rec.Body) > 0 && json.Valid(rec.Body):
		d.Body = rec.Body
	case len(rec.Body) > 0:
		d.Body = readable(rec.Codec, rec.Body)
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(d)
	}
	line := fmt.Sprintf("%d  %-8s", n, d.Kind)
	for _, f := range []struct {
		name  string
		value any
		shown bool
	}{{"n", d.N, d.N > 0}, {"m", d.M, d.M > 0}, {"port", d.Port, d.Port > 0}, {"epoch", d.Epoch, d.Epoch > 0}, {"flags", d.Flags, d.Flags > 0}, {"hops", d.Hops, d.Hops > 0},
		{"id", d.ID, d.ID != ""}, {"time", d.Time, d.Time != 0}, {"codec", d.Codec, rec.Codec != wire.Raw}, {"bytes", d.Size, d.Size > 0}} {
		if f.shown {
			line += fmt.Sprintf("  %s %v", f.name, f.value)
		}
	}
	if len(d.Body) > 0 {
		line += "  " + printable(string(d.Body))
	}
	for _, o := range d.Outputs {
		line += "\n             output  " + printable(string(o))
	}
	_, err := fmt.Fprintln(t.out, line)
	return err
}

// readable is a payload as one line of JSON.
func readable(c wire.Codec, payload []byte) json.RawMessage {
	reader, err := codec.New(codec.Spec{Name: c.String()})
	if err != nil { // struct, whose format belongs to a satellite
		reader, err = codec.New(codec.Spec{Name: "raw"})
	}
	if err != nil {
		return nil
	}
	return codec.Render(reader, payload)
}

func (t *tool) decodeVector(v *v1.Vector) error {
	fields := []struct {
		name  string
		value []byte
	}{
		{"where", v.Where}, {"step", v.Step}, {"wid", v.WID}, {"pid", v.PID}, {"next", v.Next}, {"emitter", v.Emitter}, {"type", v.Type},
		{"channel", v.Channel}, {"task_id", v.TaskID}, {"event", v.Event}, {"seq", v.Seq}, {"serialization", v.Serialization}, {"arg", v.Payload},
	}
	if t.json {
		m := map[string]string{}
		for _, f := range fields {
			m[f.name] = strings.ToValidUTF8(string(f.value), "\uFFFD")
		}
		return json.NewEncoder(t.out).Encode(m)
	}
	var err error
	for _, f := range fields {
		_, e := fmt.Fprintf(t.out, "%-13s  %s\n", f.name, printable(strings.ToValidUTF8(string(f.value), "\uFFFD")))
		err = errors.Join(err, e)
	}
	return err
}
