// Package rules compiles the conditions and keys of links and evaluates them on messages.
//
// A rule is an expression of github.com/expr-lang/expr (why that one: docs/decisions/005-conditions.md) over the header of a
// message and its decoded payload:
//
//	from, step  string    the satellite that emitted it ("": from outside) and the link's, or the queue's, satellite
//	task        string    the message's task, as EPOCH.NUMBER
//	hops        int       steps it has passed
//	attempts    int       how often the message that it answers was tried; 0 for what a source emits
//	codec       string    raw, text, json, ...
//	size        int       bytes of its payload
//	age         float     seconds since its task began
//	time        float     now, seconds since 1970
//	payload     any       its payload: of json, what JSON says; numbers are floats
//
// Some functions have a memory, one for each place in the expression where they stand and, if they are given a key, for each
// key: one_in, every, rate, changed, last. It is bounded: after 4,096 keys the oldest is forgotten.
//
// Evaluation is bounded too: an expression has at most 200 nodes, no loop but over the elements of a list, and each evaluation
// may take Budget steps. Nothing here blocks, sleeps, knows a clock or starts a goroutine. A Rule is used by one goroutine.
package rules

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Limits of an expression and of one evaluation.
const (
	maxText  = 4096
	maxNodes = 200
	// Budget is the steps one evaluation may take: about one for each node on each element of a list, or each byte that a
	// pattern is matched with. It is used up in a few milliseconds at worst.
	Budget = 1 << 16
)

// Want is what an expression has to give.
type Want int

// The closed set of Want.
const (
	Bool Want = iota // a condition
	Key              // any value; messages of equal values have the same key
)

// Message is what an expression can see. Payload is called when the expression looks at the payload, and then once for each
// evaluation; it should remember what it has decoded.
type Message struct {
	From, Step string
	Codec      string
	Task       func() string
	Hops       int
	Attempts   int
	Size       int
	Age        time.Duration
	Now        time.Time
	Payload    func() (any, error)
}

// Fault is what is wrong with an expression.
type Fault struct {
	Off  int // byte of the expression
	Text string
	Hint string // what can be done; may be empty
}

func (f *Fault) Error() string { return f.Text }

// Rule is a compiled expression with its memory.
type Rule struct {
	text  string
	want  Want
	prog  *vm.Program
	vm    vm.VM
	env   header
	uses  uses
	cells []*cells // by place of a function with memory
	steps int      // what is left of the budget, in units of weights
	now   time.Time
}

// header is the environment of an expression; the tags are the names.
type header struct {
	From     string  `expr:"from"`
	Step     string  `expr:"step"`
	Task     string  `expr:"task"`
	Hops     int     `expr:"hops"`
	Attempts int     `expr:"attempts"`
	Codec    string  `expr:"codec"`
	Size     int     `expr:"size"`
	Age      float64 `expr:"age"`
	Time     float64 `expr:"time"`
	Payload  any     `expr:"payload"`
}

// uses is what an expression looks at.
type uses struct{ task, payload bool }

// Compile makes a rule. The error is a *Fault.
func Compile(text string, want Want) (*Rule, error) {
	if len(text) > maxText {
		return nil, &Fault{Text: fmt.Sprintf("the expression has %d bytes, and %d is the most", len(text), maxText)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, &Fault{Text: "the expression is empty", Hint: `a condition is one like "payload.load1 > 4"`}
	}
	r := &Rule{text: text, want: want}
	in, f := inspect(text, want)
	if f != nil {
		return nil, f
	}
	r.uses = in.uses
	for _, name := range in.places {
		r.cells = append(r.cells, newCells(name))
	}
	options := append(r.functions(), expr.Env(&header{}), expr.MaxNodes(4*maxNodes), expr.Patch(&in.numbering), expr.Patch(&metering{}))
	if want == Bool {
		options = append(options, expr.AsBool())
	} else {
		options = append(options, expr.AsAny())
	}
	var err error
	if r.prog, err = compile(text, options); err != nil {
		return nil, faultOf(text, err)
	}
	return r, nil
}

// compile is the library's, which reports its own mistakes by panicking.
func compile(text string, options []expr.Option) (prog *vm.Program, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the expression cannot be compiled: %v", p)
		}
	}()
	return expr.Compile(text, options...)
}

// Check returns a *Fault, or nil.
func Check(text string, want Want) error {
	_, err := Compile(text, want)
	return err
}

// Text is the expression.
func (r *Rule) Text() string { return r.text }

// UsesPayload reports whether the rule looks at the payload.
func (r *Rule) UsesPayload() bool { return r.uses.payload }

// Remembers reports whether the rule has functions with a memory.
func (r *Rule) Remembers() bool { return len(r.cells) > 0 }

var errCost = errors.New("it takes too many steps on this message")

// Match says whether the message fulfils the condition. An error is the message's: a field that is not there, a type that does
// not fit, a payload that cannot be decoded, too many steps.
func (r *Rule) Match(m *Message) (bool, error) {
	v, err := r.eval(m)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("the condition gave %s, not true or false", typeName(v))
	}
	return b, nil
}

// Hash gives the key of the message as 64 bits, and false when it has none: the expression gave nil.
func (r *Rule) Hash(m *Message) (uint64, bool, error) {
	v, err := r.eval(m)
	if err != nil || v == nil {
		return 0, false, err
	}
	return Sum(v), true, nil
}

func (r *Rule) eval(m *Message) (any, error) {
	r.env = header{From: m.From, Step: m.Step, Hops: m.Hops, Attempts: m.Attempts, Codec: m.Codec, Size: m.Size, Age: m.Age.Seconds(),
		Time: float64(m.Now.UnixMicro()) / 1e6}
	if r.uses.payload {
		p, err := m.Payload()
		if err != nil {
			return nil, err
		}
		r.env.Payload = p
	}
	if r.uses.task {
		r.env.Task = m.Task()
	}
	r.steps, r.now = Budget*meterUnit, m.Now
	v, err := r.vm.Run(r.prog, &r.env)
	r.env = header{}
	if err != nil {
		return nil, short(err)
	}
	return v, nil
}

// short is an error of an evaluation without the picture of the place that the library draws below it.
func short(err error) error {
	if errors.Is(err, errCost) {
		return errCost
	}
	var at *file.Error
	if errors.As(err, &at) {
		return errors.New(at.Message)
	}
	return err
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "a string"
	case float64, int:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return reflect.TypeOf(v).String()
}
