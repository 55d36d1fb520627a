package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Trial runs a program as dsatd itself would run, beside the satellites, and returns the last lines it printed. The error tells how it
// failed, with those lines.
func (s *Supervisor) Trial(ctx context.Context, argv, env []string, within time.Duration) ([]string, error) {
	ended := make(chan outcome, 1)
	e := s.errand(chore{argv: argv, env: env, within: within, done: func(o outcome) { ended <- o }})
	var o outcome
	select {
	case o = <-ended:
	case <-ctx.Done():
		e.end("nobody waits for it any more")
		return nil, ctx.Err()
	}
	switch {
	case o.exit.Err != nil:
		return nil, o.exit.Err
	case o.why != "" && len(o.words) > 0:
		return o.words, fmt.Errorf("%s: %s", o.why, strings.Join(o.words, "\n"))
	case o.why != "":
		return nil, errors.New(o.why)
	}
	return o.words, nil
}
