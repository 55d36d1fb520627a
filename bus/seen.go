package bus

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/dsat/dsat/bus/rules"
	"github.com/dsat/dsat/bus/wire"
)

// seen is the message in hand as rules see it. What it decodes it decodes once, and only if a rule looks.
type seen struct {
	m       rules.Message
	body    *body
	codec   uint16
	taskID  uint64
	task    uint64 // mixed: of the share of a task
	decoded bool
	value   any
	err     error
	start   time.Time
	formats *formats
}

// maxLook is the largest payload that is decoded for rules: it is done in the loop, and takes about 1 ms then.
const maxLook = 64 << 10

func newSeen(start time.Time, f *formats) *seen {
	s := &seen{start: start, formats: f}
	s.m.Payload = s.payload
	s.m.Task = func() string { return formatID(s.taskID) }
	return s
}

// show prepares a message that s emits for rules.
func (t *tracker) show(now int64, s *step, task int32, m *message) {
	from := ""
	if s != nil {
		from = s.name
	}
	tk := t.tasks.at(task)
	t.seen.set(now, from, "", tk.id, tk.started, m.body, m.codec)
	t.seen.m.Hops, t.seen.m.Attempts = int(m.hops), int(m.attempts)
}

func (s *seen) set(now int64, from, step string, task uint64, started int64, b *body, codec uint16) {
	s.body, s.codec, s.taskID, s.task = b, codec, task, rules.Mix(task)
	s.m.From, s.m.Step, s.m.Codec, s.m.Size = from, step, codecName(codec), len(b.data)
	s.m.Hops, s.m.Attempts = 0, 0
	s.m.Age, s.m.Now = time.Duration(now-started), s.start.Add(time.Duration(now))
	s.decoded, s.value, s.err = false, nil, nil
}

// forget lets go of the message: its body may be used again.
func (s *seen) forget() {
	s.body, s.value, s.err, s.decoded = nil, nil, nil, false
}

// tell is the key of the message by a rule, if it has one.
func (s *seen) tell(rule *rules.Rule, f *flow) (uint64, bool) {
	key, has, err := rule.Hash(&s.m)
	if err != nil {
		f.fail(err)
	}
	return key, has
}

func (s *seen) payload() (any, error) {
	if !s.decoded {
		s.decoded = true
		s.value, s.err = decodePayload(s.formats, s.codec, s.body.data)
	}
	return s.value, s.err
}

// decodePayload is what a rule sees of a payload. Lines of filters, and what says nothing of its form, are JSON if they are an
// object or a list of JSON, and else a string.
func decodePayload(f *formats, codec uint16, p []byte) (any, error) {
	if len(p) > maxLook {
		return nil, fmt.Errorf("the payload has %d bytes, and rules look at up to %d", len(p), maxLook)
	}
	var v any
	switch c := wire.Codec(codec); c {
	case wire.Raw, wire.Text:
		if len(p) > 0 && (p[0] == '{' || p[0] == '[') && json.Unmarshal(p, &v) == nil {
			return v, nil
		}
		return string(p), nil
	case wire.JSON:
		if err := json.Unmarshal(p, &v); err != nil {
			return nil, fmt.Errorf("the payload is no JSON: %w", err)
		}
		return v, nil
	case wire.CBOR:
		v, err := plain[c].Decode(p)
		if err != nil {
			return nil, fmt.Errorf("the payload is no CBOR: %w", err)
		}
		return v, nil
	default:
		r := f.reader(codec)
		if r == nil {
			return nil, fmt.Errorf("rules cannot look into %v: nobody has said its format (emits)", c)
		}
		v, err := r.Decode(p)
		if err != nil {
			return nil, fmt.Errorf("the payload is no %v: %w", r.Spec(), err)
		}
		return v, nil
	}
}
