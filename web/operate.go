package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// maxInstances is as many as a topology may ask for.
const maxInstances = 10_000

// down begins the end of the daemon.
func (s *Server) down(w http.ResponseWriter, r *http.Request) error {
	drain, err := duration(r, "timeout")
	if err != nil {
		return err
	}
	s.cfg.Down(drain)
	return answer(w, struct{}{})
}

func (s *Server) doctor(w http.ResponseWriter, r *http.Request) error {
	return answer(w, s.cfg.Doctor(r.Context()))
}

// upgrade answers only when it failed: else there is another dsatd, which knows nothing of this question.
func (s *Server) upgrade(_ http.ResponseWriter, r *http.Request) error {
	ctx, cancel, err := timeout(r)
	if err != nil {
		return err
	}
	defer cancel()
	return fail(control.KindConflict, "cannot upgrade: %v; this dsatd goes on as before", s.cfg.Upgrade(ctx, r.URL.Query().Get("binary")))
}

// timeout gives the request's context the deadline of ?timeout=.
func timeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	d, err := duration(r, "timeout")
	if err != nil {
		return nil, nil, err
	}
	if d == 0 {
		ctx, cancel := context.WithCancel(r.Context())
		return ctx, cancel, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	return ctx, cancel, nil
}

// change answers start, stop and restart: select, act, tell what became of each instance.
func (s *Server) change(act func(*supervisor.Supervisor, context.Context, []topology.Ref) ([]supervisor.Result, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		refs, err := s.cfg.Supervisor.Select(r.PathValue("names"))
		if err != nil {
			return err
		}
		ctx, cancel, err := timeout(r)
		if err != nil {
			return err
		}
		defer cancel()
		results, err := act(s.cfg.Supervisor, ctx, refs)
		return changed(w, results, err)
	}
}

func (s *Server) scale(w http.ResponseWriter, r *http.Request) error {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 0 || n > maxInstances {
		return invalid("cannot scale to %q: want a number from 0 to %d", r.URL.Query().Get("n"), maxInstances)
	}
	ctx, cancel, err := timeout(r)
	if err != nil {
		return err
	}
	defer cancel()
	results, err := s.cfg.Supervisor.Scale(ctx, r.PathValue("names"), n)
	return changed(w, results, err)
}

func (s *Server) signal(w http.ResponseWriter, r *http.Request) error {
	sig, err := signalOf(r.URL.Query().Get("signal"))
	if err != nil {
		return err
	}
	refs, err := s.cfg.Supervisor.Select(r.PathValue("names"))
	if err != nil {
		return err
	}
	results, err := s.cfg.Supervisor.Signal(refs, sig)
	return changed(w, results, err)
}

// signalOf reads "HUP", "SIGHUP", "hup" or "1".
func signalOf(text string) (unix.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= lastSignal {
		return unix.Signal(n), nil
	}
	if sig := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")); sig != 0 {
		return sig, nil
	}
	return 0, invalid("cannot send signal %q: want a name like HUP or SIGUSR1, or a number from 1 to %d", text, lastSignal)
}

// lastSignal is the kernel's SIGRTMAX.
const lastSignal = 64

// changed answers with every instance's end. An error that concerns single instances stands beside them; one that
// concerns the whole request is the answer.
func changed(w http.ResponseWriter, results []supervisor.Result, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return late(results)
	}
	if err != nil {
		return err
	}
	out := control.Change{Instances: make([]control.ChangedInstance, len(results))}
	for i, res := range results {
		out.Instances[i] = control.ChangedInstance{Name: res.Ref.Name, WID: res.Ref.WID, State: res.State.String(), PID: res.PID}
		if res.Err != nil {
			out.Instances[i].Error = res.Err.Error()
		}
	}
	return answer(w, out)
}

// late names what a timeout did not leave the time for.
func late(results []supervisor.Result) error {
	const most = 5
	var open []string
	for _, r := range results {
		if r.Err != nil {
			open = append(open, fmt.Sprintf("%s is %s", r.Ref, r.State))
		}
	}
	who := strings.Join(open[:min(len(open), most)], ", ")
	switch {
	case len(open) == 0:
		who = "another change of the same satellite is under way"
	case len(open) > most:
		who += fmt.Sprintf(" and %d more are not there yet", len(open)-most)
	}
	return fail(control.KindTimeout, "cannot finish in the time given: %s; what was begun goes on", who)
}
