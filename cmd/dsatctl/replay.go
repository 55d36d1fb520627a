package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

const replayHelp = `Read retained streams again, in the order of time: print their messages, or hand them to a step with --into. PATTERN is the path of a
stream, or has * and ? for any characters but /.

--from is a time (2026-11-23T12:00:00Z), how long ago (10m), or the number of a message; --to is a time. --where is a condition as on
a link: payload.load1 > 4. --speed is max (default), 1x as it was, 2x, 0.5x, or 100/s.

--format is text for people, jsonl, csv with the payload as JSON in its last column, or raw: payloads as they were, one a line.

With --into each message is handed over as a new task, with the codec it had; while the queue is full it waits. What was handed over
stands at the end, and after a failure too: the number to go on from with --from.`

type replay struct {
	query               control.StreamQuery
	from, speed, format string
	into                string
}

func (t *tool) replayCommand() *cobra.Command {
	r := replay{}
	cmd := &cobra.Command{
		Use:     "replay PATTERN",
		Short:   "Read retained streams again, or hand them to a step",
		Long:    replayHelp,
		Example: "  dsatctl replay probe/cpu --from 10m\n  dsatctl replay 'probe/*' --format csv > probe.csv\n  dsatctl replay orders --from 17 --where 'payload.total > 100' --into check --speed 50/s",
		Args:    exactly("PATTERN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.query.Pattern = args[0]
			return t.replay(cmd.Context(), &r)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&r.from, "from", "", "begin at this time, so long ago, or at this number")
	flags.StringVar(&r.query.To, "to", "", "end at this time, or so long ago")
	flags.StringVar(&r.query.Where, "where", "", "only messages that fulfil a condition")
	flags.IntVarP(&r.query.Limit, "lines", "n", 0, "end after so many messages")
	flags.StringVar(&r.speed, "speed", "max", "max, 1x, 2x, 0.5x, or 100/s")
	flags.StringVar(&r.into, "into", "", "hand the messages to this step")
	flags.StringVar(&r.format, "format", "text", "text, jsonl, csv or raw")
	_ = cmd.RegisterFlagCompletionFunc("into", t.completeSteps)
	return cmd
}

func (t *tool) replay(ctx context.Context, r *replay) error {
	if _, err := strconv.ParseUint(r.from, 10, 64); err == nil {
		r.query.Seq, _ = strconv.ParseUint(r.from, 10, 64)
	} else {
		r.query.From = r.from
	}
	if r.query.Limit < 0 {
		return usageError("cannot replay: -n is not below 0")
	}
	pace, err := parsePace(r.speed)
	if err != nil {
		return err
	}
	if t.json {
		r.format = "jsonl"
	}
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	if r.into != "" {
		return t.replayInto(ctx, client, r, pace)
	}
	write, end, err := t.replayWriter(r.format)
	if err != nil {
		return err
	}
	for m, err := range client.StreamMessages(ctx, r.query) {
		if err == nil {
			err = pace.wait(ctx, m.Time)
		}
		if err == nil {
			err = write(&m)
		}
		if err != nil {
			return err
		}
	}
	return end()
}

func (t *tool) replayInto(ctx context.Context, client *control.Client, r *replay, pace *pace) error {
	handed, last := 0, control.StreamMessage{}
	tell := func() {
		if handed == 0 {
			t.note("no message was handed to %s", r.into)
			return
		}
		t.note("%s messages were handed to %s, up to number %d of %s of %s", grouped(handed), r.into, last.Seq, last.Stream, last.Time.Local().Format(time.RFC3339Nano))
	}
	defer tell()
	for m, err := range client.StreamMessages(ctx, r.query) {
		if err == nil {
			err = pace.wait(ctx, m.Time)
		}
		if err != nil {
			return err
		}
		if _, err := client.Send(ctx, r.into, cmp.Or(m.Format, m.Codec), m.Raw, 0); err != nil {
			return err
		}
		handed++
		last = m
	}
	return nil
}

// replayWriter is how messages are printed, and what is to be done after the last one.
func (t *tool) replayWriter(format string) (write func(*control.StreamMessage) error, end func() error, err error) {
	flush := func() error { return t.out.Flush() }
	switch format {
	case "text":
		return func(m *control.StreamMessage) error {
			_, err := fmt.Fprintf(t.out, "%s  %s %s  %s  task %s  %s  %s\n", colored(m.Time.Local().Format("2006-01-02 15:04:05.000"), faint, t.paint()),
				printable(m.Stream), strconv.FormatUint(m.Seq, 10), printable(m.Step), printable(m.Task), printable(m.Codec), printable(string(m.Payload)))
			return err
		}, flush, nil
	case "jsonl":
		out := json.NewEncoder(t.out)
		return func(m *control.StreamMessage) error { return out.Encode(m) }, flush, nil
	case "csv":
		out := csv.NewWriter(t.out)
		if err := out.Write([]string{"stream", "seq", "time", "step", "task", "codec", "payload"}); err != nil {
			return nil, nil, err
		}
		return func(m *control.StreamMessage) error {
				return out.Write([]string{m.Stream, strconv.FormatUint(m.Seq, 10), m.Time.UTC().Format(time.RFC3339Nano), m.Step, m.Task, m.Codec, string(m.Payload)})
			}, func() error {
				out.Flush()
				if err := out.Error(); err != nil {
					return err
				}
				return t.out.Flush()
			}, nil
	case "raw":
		return func(m *control.StreamMessage) error {
			_, err := t.out.Write(append(m.Raw, '\n'))
			return err
		}, flush, nil
	}
	return nil, nil, usageError(fmt.Sprintf("cannot print as %q: there are text, jsonl, csv and raw", format))
}

// pace is how fast messages go out.
type pace struct {
	factor float64       // of the time between them; 0: it does not matter
	every  time.Duration // between two; 0: none

	begun   time.Time // when the first one went out
	first   time.Time // its time
	emitted int
}

func parsePace(text string) (*pace, error) {
	bad := usageError(fmt.Sprintf("cannot replay at speed %q: say max, 1x, 2x, 0.5x, or 100/s", text))
	if text == "max" {
		return &pace{}, nil
	}
	if times, ok := strings.CutSuffix(text, "x"); ok {
		f, err := strconv.ParseFloat(times, 64)
		if err != nil || !(f > 0) || f > 1e9 {
			return nil, bad
		}
		return &pace{factor: f}, nil
	}
	if rate, ok := strings.CutSuffix(text, "/s"); ok {
		f, err := strconv.ParseFloat(rate, 64)
		if err != nil || !(f > 0) || f > 1e9 {
			return nil, bad
		}
		return &pace{every: time.Duration(float64(time.Second) / f)}, nil
	}
	return nil, bad
}

// wait sleeps until it is the turn of the next message, whose time this is.
func (p *pace) wait(ctx context.Context, at time.Time) error {
	if p.factor == 0 && p.every == 0 {
		return nil
	}
	if p.emitted++; p.emitted == 1 {
		p.begun, p.first = time.Now(), at
		return nil
	}
	due := p.begun.Add(time.Duration(p.emitted-1) * p.every)
	if p.factor > 0 {
		due = p.begun.Add(time.Duration(float64(at.Sub(p.first)) / p.factor))
	}
	left := time.Until(due)
	if left <= 0 {
		return nil
	}
	select {
	case <-time.After(left):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
