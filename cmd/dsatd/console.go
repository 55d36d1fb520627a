package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// console is a slog handler for people: time to the millisecond, the sentence, then key=value. Warnings and errors say so.
type console struct {
	mu    *sync.Mutex
	w     io.Writer
	level slog.Level
	attrs string
}

func newConsole(w io.Writer, level slog.Level) *console {
	return &console{mu: &sync.Mutex{}, w: w, level: level}
}

func (c *console) Enabled(_ context.Context, level slog.Level) bool { return level >= c.level }

func (c *console) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	line.WriteString(r.Time.Format("15:04:05.000 "))
	if r.Level != slog.LevelInfo {
		line.WriteString(r.Level.String() + " ")
	}
	line.WriteString(r.Message)
	line.WriteString(c.attrs)
	r.Attrs(func(a slog.Attr) bool {
		line.WriteString(attrText(a))
		return true
	})
	line.WriteByte('\n')
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(c.w, line.String())
	return err
}

func attrText(a slog.Attr) string {
	text := fmt.Sprint(a.Value.Resolve().Any())
	if strings.ContainsAny(text, " \"\n\t") {
		text = strconv.Quote(text)
	}
	return " " + a.Key + "=" + text
}

func (c *console) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *c
	for _, a := range attrs {
		with.attrs += attrText(a)
	}
	return &with
}

// WithGroup is not used in this house; groups would only lengthen the lines people read.
func (c *console) WithGroup(string) slog.Handler { return c }
