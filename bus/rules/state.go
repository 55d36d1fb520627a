package rules

import (
	"time"

	"github.com/expr-lang/expr"
)

// maxKeys bounds what one function remembers.
const maxKeys = 4096

// cells is the memory of one function at one place of an expression.
type cells struct {
	name  string
	byKey map[uint64]*cell
	order []uint64 // keys, oldest first, from first on; then around
	first int
}

// cell is what is remembered for one key.
type cell struct {
	n      uint64    // one_in: how many came
	at     time.Time // every: when it was last true; rate: beginning of the newest slice
	sum    uint64    // changed
	value  any       // last: a number, a short string or a boolean
	slices [rateSlices]uint32
}

// rateSlices is into how many slices the window of a rate is divided: a rate is right to 1/16 of its window.
const rateSlices = 16

func newCells(name string) *cells { return &cells{name: name, byKey: map[uint64]*cell{}} }

// of returns the memory for a key, and whether it is new.
func (c *cells) of(key uint64) (*cell, bool) {
	if x := c.byKey[key]; x != nil {
		return x, false
	}
	if len(c.order) < maxKeys {
		c.order = append(c.order, key)
	} else {
		delete(c.byKey, c.order[c.first])
		c.order[c.first] = key
		c.first = (c.first + 1) % maxKeys
	}
	x := &cell{}
	c.byKey[key] = x
	return x, true
}

// stateful is the functions with memory: how many arguments they want before the key, and what they are.
func stateful() map[string]signature {
	return map[string]signature{
		"one_in":  {args: []argument{wholeArg}, keyed: true, doc: "one_in(30): true for the first message and every 30th after it"},
		"every":   {args: []argument{durationArg}, keyed: true, doc: `every("30s"): true at most once in 30 s`},
		"rate":    {args: []argument{durationArg}, keyed: true, doc: `rate("30s"): messages per second that came here, over the last 30 s`},
		"changed": {args: []argument{anyArg}, keyed: true, doc: "changed(payload.state): true when it is not what it was in the message before"},
		"last":    {args: []argument{anyArg}, keyed: true, doc: "last(payload.load1): what it was in the message before; nil in the first"},
	}
}

// functions are ours, with this rule's memory. Behind the arguments they get the key, or nil, and the number of their place.
func (r *Rule) functions() []expr.Option {
	place := func(params []any) *cell {
		n := len(params)
		key := uint64(0)
		if params[n-2] != nil {
			key = Sum(params[n-2])
		}
		x, _ := r.cells[params[n-1].(int)].of(key)
		return x
	}
	any4 := new(func(any, any, int) any)
	bool4 := new(func(any, any, int) bool)
	float4 := new(func(any, any, int) float64)
	return []expr.Option{
		expr.Function("one_in", func(p ...any) (any, error) { return place(p).oneIn(uint64(p[0].(int))), nil }, bool4),
		expr.Function("every", func(p ...any) (any, error) { return place(p).every(r.now, period(p[0])), nil }, bool4),
		expr.Function("rate", func(p ...any) (any, error) { return place(p).rate(r.now, period(p[0])), nil }, float4),
		expr.Function("changed", func(p ...any) (any, error) { return place(p).changed(p[0]), nil }, bool4),
		expr.Function("last", func(p ...any) (any, error) { return place(p).last(p[0]), nil }, any4),
		expr.Function("hash", func(p ...any) (any, error) { return int(Sum(p[0]) % uint64(p[1].(int))), nil }, new(func(any, int) int)),
		expr.Function(meter, r.spend, new(func(any, int) any)),
		expr.Function(deepMeter, r.spendDeep, new(func(any, int) any)),
	}
}

// period is a duration that inspect has checked.
func period(v any) time.Duration {
	d, _ := time.ParseDuration(v.(string))
	return d
}

func (c *cell) oneIn(n uint64) bool {
	c.n++
	return (c.n-1)%n == 0
}

func (c *cell) every(now time.Time, d time.Duration) bool {
	if since := now.Sub(c.at); !c.at.IsZero() && since >= 0 && since < d {
		return false
	}
	c.at = now
	return true
}

func (c *cell) rate(now time.Time, d time.Duration) float64 {
	slice := max(d/rateSlices, 1)
	passed := now.Sub(c.at) / slice
	switch {
	case c.at.IsZero() || passed < 0 || passed >= rateSlices:
		c.slices = [rateSlices]uint32{}
		c.at = now
	default:
		for ; passed > 0; passed-- {
			copy(c.slices[1:], c.slices[:rateSlices-1])
			c.slices[0] = 0
			c.at = c.at.Add(slice)
		}
	}
	c.slices[0]++
	n := uint64(0)
	for _, k := range c.slices {
		n += uint64(k)
	}
	return float64(n) / d.Seconds()
}

func (c *cell) changed(v any) bool {
	sum := Sum(v)
	first := c.n == 0
	c.n = 1
	was := c.sum
	c.sum = sum
	return first || was != sum
}

// maxRemembered is the longest string that last keeps.
const maxRemembered = 1024

func (c *cell) last(v any) any {
	was := c.value
	switch x := v.(type) {
	case string:
		c.value = x
		if len(x) > maxRemembered {
			c.value = nil
		}
	case bool:
		c.value = x
	default:
		c.value = nil
		if f, ok := number(v); ok {
			c.value = f
		}
	}
	return was
}

// spend takes steps from the budget: weight for each element of a list, or each byte of a string.
func (r *Rule) spend(p ...any) (any, error) {
	n := 1
	switch v := p[0].(type) {
	case []any:
		n = len(v)
	case map[string]any:
		n = len(v)
	case string:
		n = len(v)
	}
	return p[0], r.pay(n * p[1].(int))
}

// spendDeep is spend for all that is in a value.
func (r *Rule) spendDeep(p ...any) (any, error) { return p[0], r.payDeep(p[0], p[1].(int)) }

func (r *Rule) payDeep(v any, weight int) error {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if err := r.payDeep(x, weight); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, x := range v {
			if err := r.pay(weight * (meterUnit + len(name))); err != nil {
				return err
			}
			if err := r.payDeep(x, weight); err != nil {
				return err
			}
		}
	case string:
		return r.pay(weight * (meterUnit + len(v)))
	}
	return r.pay(weight * meterUnit)
}

func (r *Rule) pay(units int) error {
	if r.steps -= units; r.steps < 0 {
		return errCost
	}
	return nil
}

// Cell is the memory of one function for one key, for those who keep it over an upgrade. Since is relative to the moment of
// the export, because two daemons share no clock.
type Cell struct {
	Place  int
	Name   string
	Key    uint64
	N      uint64
	Since  time.Duration // -1: never
	Sum    uint64
	Value  any // nil, float64, string or bool
	Slices []uint32
}

// Memory is all that the rule remembers, oldest first.
func (r *Rule) Memory(now time.Time) []Cell {
	var all []Cell
	for place, c := range r.cells {
		for k := range c.order {
			key := c.order[(c.first+k)%len(c.order)]
			x := c.byKey[key]
			out := Cell{Place: place, Name: c.name, Key: key, N: x.n, Since: -1, Sum: x.sum, Value: x.value, Slices: x.slices[:]}
			if !x.at.IsZero() {
				out.Since = max(now.Sub(x.at), 0)
			}
			all = append(all, out)
		}
	}
	return all
}

// Restore takes over what a rule of the same text remembered. What does not fit is left out.
func (r *Rule) Restore(now time.Time, all []Cell) {
	for _, k := range all {
		if k.Place < 0 || k.Place >= len(r.cells) || r.cells[k.Place].name != k.Name {
			continue
		}
		x, _ := r.cells[k.Place].of(k.Key)
		x.n, x.sum, x.value = k.N, k.Sum, k.Value
		copy(x.slices[:], k.Slices)
		if k.Since >= 0 {
			x.at = now.Add(-k.Since)
		}
	}
}
