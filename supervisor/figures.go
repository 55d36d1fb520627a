package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/dsat/dsat/topology"
)

// Figures are what the extended_stats hook of one instance tells of its process.
type Figures struct {
	Ref     topology.Ref
	PID     int                // 0: it has no process, and its hook was not asked
	Values  map[string]float64 // finite numbers by their names; nil: it has no such hook, or Problem
	Problem string             // why there are none, though it has the hook and a process
}

const (
	mostFigures   = 256      // of one instance
	figuresLimit  = 64 << 10 // bytes that a hook may print
	askedTogether = 16       // hooks that run at once for one question
)

// questions are the hooks under way, so that many who ask at once make one process.
type questions struct {
	mu   sync.Mutex
	open map[topology.Ref]*question
}

type question struct {
	done   chan struct{} // closed when answer is there
	answer Figures
}

// Figures asks the extended_stats hooks of instances, in their order. It takes no longer than the deadlines of the hooks; when the
// context ends, that is its error, and what was begun goes on for others who ask.
func (s *Supervisor) Figures(ctx context.Context, refs []topology.Ref) ([]Figures, error) {
	var out []Figures
	for some := range slices.Chunk(refs, askedTogether) {
		var asked []*question
		for _, ref := range some {
			asked = append(asked, s.askFigures(ref))
		}
		for _, q := range asked {
			select {
			case <-q.done:
				out = append(out, q.answer)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return out, nil
}

// askFigures asks the hook of one instance, unless somebody has and it did not answer yet.
func (s *Supervisor) askFigures(ref topology.Ref) *question {
	s.questions.mu.Lock()
	defer s.questions.mu.Unlock()
	if q := s.questions.open[ref]; q != nil {
		return q
	}
	q := &question{done: make(chan struct{}), answer: Figures{Ref: ref}}
	i, sat := s.find(ref), s.roster().byName[ref.Name]
	if i == nil || sat == nil {
		close(q.done)
		return q
	}
	now, spec := i.status.Load(), sat.spec
	h := spec.Hooks[topology.ExtendedStats]
	if q.answer.PID = now.PID; now.PID == 0 || h == nil {
		close(q.done)
		return q
	}
	if s.questions.open == nil {
		s.questions.open = make(map[topology.Ref]*question)
	}
	s.questions.open[ref] = q
	out := &spool{most: figuresLimit}
	s.errand(chore{
		ref: ref, spec: spec, argv: h.Command, within: h.Deadline, spool: out,
		env: []string{"DSAT_HOOK=" + topology.ExtendedStats.String(), "DSAT_PID=" + strconv.Itoa(q.answer.PID),
			"DSAT_INCARNATION=" + strconv.FormatUint(uint64(now.Inc), 10), "DSAT_STATE=" + now.State.String()},
		done: func(o outcome) {
			if !s.crew.run(func() { s.questions.end(q, o, out) }) {
				s.questions.end(q, o, out)
			}
		},
	})
	return q
}

// end gives the answer to all who wait for it.
func (a *questions) end(q *question, o outcome, out *spool) {
	text, over := out.take()
	var err error
	switch {
	case o.why != "":
		q.answer.Problem = o.why
		if words := lastLine(text); words != "" {
			q.answer.Problem += fmt.Sprintf(" (its last line: %s)", words)
		}
	case over:
		q.answer.Problem = fmt.Sprintf("it printed more than %d bytes", figuresLimit)
	default:
		if q.answer.Values, err = parseFigures(text); err != nil {
			q.answer.Problem = err.Error()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, q.answer.Ref)
	close(q.done)
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	last := lines[len(lines)-1]
	return strings.ToValidUTF8(last[:min(len(last), mostWords)], "")
}

var figureName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$`)

// parseFigures reads lines of NAME=NUMBER (empty ones, and those that begin with #, are skipped), or one JSON object of numbers; those
// in objects inside it have names like "cache.hits". Nothing at all is no figures.
func parseFigures(text []byte) (map[string]float64, error) {
	out := map[string]float64{}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte{'{'}) {
		var all map[string]any
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, fmt.Errorf("cannot read what it printed as JSON: %w", err)
		}
		return out, flatten(out, all, "")
	}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		entry := string(bytes.TrimSpace(line))
		if entry == "" || entry[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, fmt.Errorf("line %d of what it printed is not NAME=NUMBER", n)
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return nil, fmt.Errorf("line %d of what it printed: %.64q is no number", n, strings.TrimSpace(value))
		}
		if err := enter(out, strings.TrimSpace(name), v); err != nil {
			return nil, fmt.Errorf("line %d of what it printed: %w", n, err)
		}
	}
	return out, nil
}

func flatten(out map[string]float64, all map[string]any, prefix string) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var err error
		switch v := all[name].(type) {
		case float64:
			err = enter(out, prefix+name, v)
		case map[string]any:
			err = flatten(out, v, prefix+name+".")
		default:
			err = fmt.Errorf("%.64q is no number", prefix+name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func enter(out map[string]float64, name string, v float64) error {
	switch _, twice := out[name]; {
	case !figureName.MatchString(name):
		return fmt.Errorf("%.64q is no name of a figure: letters, digits and _ . : - are", name)
	case math.IsNaN(v) || math.IsInf(v, 0):
		return fmt.Errorf("%s is not finite", name)
	case twice:
		return fmt.Errorf("it says %s twice", name)
	case len(out) == mostFigures:
		return errors.New("it has more than " + strconv.Itoa(mostFigures) + " figures")
	}
	out[name] = v
	return nil
}
