package main

import (
	"context"

	"github.com/dsat/dsat/web/control"
)

// answered asks the daemon one question and prints what tell makes of the answer, which is "" when a note has said it all. With --json the
// answer has been printed as it came, and tell is not called. A question is a method of the client, or a function like one.
func answered[T any](ctx context.Context, t *tool, question func(*control.Client, context.Context) (T, error), tell func(T) string) error {
	client, err := t.client()
	if err != nil {
		return err
	}
	ctx, cancel := t.limit(ctx, 0)
	defer cancel()
	answer, err := question(client, ctx)
	if err != nil || t.json {
		return err
	}
	_, err = t.out.WriteString(tell(answer))
	return err
}
