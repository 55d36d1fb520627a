package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// route is one line of the API: who may call it and who answers. An error returned by a handler that has not written yet
// becomes the answer.
type route struct {
	pattern string
	need    access
	handle  func(w http.ResponseWriter, r *http.Request) error
}

func (s *Server) routes() []route {
	return []route{
		{"GET /{$}", accessRead, s.page},
		{"GET /livez", accessRead, s.livez},
		{"GET /readyz", accessRead, s.readyz},
		{"GET /metrics", accessRead, s.metrics()},
		{"GET /events", accessRead, s.events},
		{"GET /v1/status", accessRead, s.status},
		{"GET /v1/version", accessRead, s.version},
		{"GET /v1/logs/{names}", accessRead, s.logs},
		{"GET /v1/queues", accessRead, s.queues},
		{"GET /v1/tasks/{id}", accessRead, s.task},
		{"GET /v1/quarantine", accessRead, s.quarantineList},
		{"GET /v1/quarantine/{id}", accessRead, s.quarantineShow},
		{"POST /v1/send/{step}", accessSend, s.send},
		{"POST /v1/satellites/{names}/start", accessOperate, s.change((*supervisor.Supervisor).Start)},
		{"POST /v1/satellites/{names}/stop", accessOperate, s.change((*supervisor.Supervisor).Stop)},
		{"POST /v1/satellites/{names}/restart", accessOperate, s.change((*supervisor.Supervisor).Restart)},
		{"POST /v1/satellites/{names}/scale", accessOperate, s.scale},
		{"POST /v1/satellites/{names}/signal", accessOperate, s.signal},
		{"POST /v1/quarantine/{id}/{verb}", accessOperate, s.quarantineChange},
		{"POST /v1/down", accessOperate, s.down},
	}
}

// mux is the one handler of all doors.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.pattern, s.guard(r))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, fail(control.KindNotFound, "cannot find %s %s: the API's paths are in docs/api.md", r.Method, r.URL.Path))
	})
	origin := http.NewCrossOriginProtection()
	return origin.Handler(mux)
}

func (s *Server) guard(r route) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		switch {
		case !sameHost(req):
			refuse(w, fail(control.KindDenied, "cannot answer for host %q: this listener is for loopback names", req.Host))
			return
		case !allowed(req, r.need):
			refuse(w, fail(control.KindDenied, "cannot do this here: processes are operated through the unix socket only (dsatctl uses it)"))
			return
		}
		if err := r.handle(w, req); err != nil {
			refuse(w, err)
		}
	}
}

func (s *Server) version(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, s.cfg.Version)
}

func (s *Server) down(w http.ResponseWriter, r *http.Request) error {
	var drain time.Duration
	if text := r.URL.Query().Get("timeout"); text != "" {
		var err error
		if drain, err = time.ParseDuration(text); err != nil || drain <= 0 {
			return invalid("cannot read timeout %q: want a duration like 30s", text)
		}
	}
	s.cfg.Down(drain)
	return answer(w, struct{}{})
}

// timeout gives the request's context the deadline of ?timeout=.
func timeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	text := r.URL.Query().Get("timeout")
	if text == "" {
		ctx, cancel := context.WithCancel(r.Context())
		return ctx, cancel, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return nil, nil, invalid("cannot read timeout %q: want a duration like 30s", text)
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
	if err != nil || n < 0 {
		return invalid("cannot scale to %q: want a number from 0", r.URL.Query().Get("n"))
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
	name := strings.TrimPrefix(strings.ToUpper(r.URL.Query().Get("signal")), "SIG")
	sig := unix.SignalNum("SIG" + name)
	if sig == 0 {
		return invalid("cannot send signal %q: want a name like HUP or SIGUSR1", name)
	}
	refs, err := s.cfg.Supervisor.Select(r.PathValue("names"))
	if err != nil {
		return err
	}
	results, err := s.cfg.Supervisor.Signal(refs, sig)
	return changed(w, results, err)
}

// changed answers with every instance's end. An error that concerns single instances stands beside them; one that
// concerns the whole request is the answer.
func changed(w http.ResponseWriter, results []supervisor.Result, err error) error {
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

// flag reads a query parameter as yes or no; bare "?verbose" is yes.
func flag(r *http.Request, name string) bool {
	values, ok := r.URL.Query()[name]
	return ok && !strings.HasPrefix(strings.Join(values, ""), "0")
}
