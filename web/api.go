package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

// route is one line of the API: who may call it and who answers. An error returned by a handler that has not written yet
// becomes the answer.
type route struct {
	pattern string
	need    access
	handle  func(w http.ResponseWriter, r *http.Request) error
}

// routes is the whole API; docs/api.md has the same table.
func (s *Server) routes() []route {
	return []route{
		{"GET /{$}", accessRead, s.page()},
		{"GET /livez", accessRead, s.livez},
		{"GET /readyz", accessRead, s.readyz},
		{"GET /metrics", accessRead, s.metrics()},
		{"GET /events", accessRead, s.events},
		{"GET /v1/status", accessRead, s.status},
		{"GET /v1/version", accessRead, s.version},
		{"GET /v1/openapi.json", accessRead, s.openAPI},
		{"GET " + control.PathDoctor, accessRead, s.doctor},
		{"GET /v1/logs/{names}", accessRead, s.logs},
		{"GET /v1/satellites/{names}/why", accessRead, s.why},
		{"GET /v1/satellites/{names}/history", accessRead, s.history},
		{"GET /v1/satellites/{names}/wait", accessRead, s.wait},
		{"GET /v1/satellites/{names}/stats", accessOperate, s.figures},
		{"GET /v1/boot", accessRead, s.boot},
		{"GET /v1/sockets", accessRead, s.sockets},
		{"GET /v1/legacy", accessRead, s.legacy},
		{"GET /v1/queues", accessRead, s.queues},
		{"GET " + control.PathRoutes, accessRead, s.routeTable},
		{"POST /v1/queues/{step}/pause", accessOperate, s.queuePause},
		{"POST /v1/queues/{step}/resume", accessOperate, s.queueResume},
		{"POST /v1/queues/{step}/drain", accessOperate, s.queueDrain},
		{"POST /v1/queues/{step}/purge", accessOperate, s.queuePurge},
		{"GET /v1/tap", accessRead, s.tap},
		{"GET /v1/streams", accessRead, s.streams},
		{"GET /v1/streams/messages", accessRead, s.streamMessages},
		{"GET /v1/tasks/{id}", accessRead, s.task},
		{"GET /v1/tasks/{id}/why", accessRead, s.whyTask},
		{"GET /v1/quarantine", accessRead, s.quarantineList},
		{"GET /v1/quarantine/{id}", accessRead, s.quarantineShow},
		{"GET /v1/quarantine/export", accessRead, s.quarantineExport},
		{"GET " + control.PathJournal, accessRead, s.journal},
		{"POST " + control.PathJournal + "/verify", accessOperate, s.journalVerify},
		{"POST " + control.PathJournal + "/backup", accessOperate, s.journalBackup},
		{"POST /v1/send/{step}", accessSend, s.send},
		{"POST /v1/call/{step}", accessSend, s.call},
		{"GET /v1/replies/{id}", accessRead, s.reply},
		{"POST /v1/replies/{id}/close", accessSend, s.replyClose},
		{"POST /v1/tasks/{id}/cancel", accessOperate, s.taskCancel},
		{"POST /v1/satellites/{names}/start", accessOperate, s.change((*supervisor.Supervisor).Start)},
		{"POST /v1/satellites/{names}/stop", accessOperate, s.change((*supervisor.Supervisor).Stop)},
		{"POST /v1/satellites/{names}/restart", accessOperate, s.change((*supervisor.Supervisor).Restart)},
		{"POST /v1/satellites/{names}/scale", accessOperate, s.scale},
		{"POST /v1/satellites/{names}/signal", accessOperate, s.signal},
		{"POST /v1/satellites/{names}/run", accessOperate, s.run},
		{"POST /v1/quarantine/{id}/retry", accessOperate, s.quarantineChange((*bus.Bus).QuarantineRetry)},
		{"POST /v1/quarantine/{id}/edit", accessOperate, s.quarantineEdit},
		{"POST /v1/quarantine/{id}/drop", accessOperate, s.quarantineChange((*bus.Bus).QuarantineDrop)},
		{"POST /v1/plan", accessOperate, s.plan},
		{"POST /v1/apply", accessOperate, s.apply},
		{"GET /v1/config/{names}", accessOperate, s.config},
		{"GET /v1/runtime", accessOperate, s.runtime},
		{"POST /v1/down", accessOperate, s.down},
		{"POST " + control.PathUpgrade, accessOperate, s.upgrade},
	}
}

// mux is the one handler of all doors.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.pattern, s.guests.guard(r))
	}
	mux.HandleFunc("/", s.guests.guard(route{need: accessRead, handle: func(w http.ResponseWriter, r *http.Request) error {
		return unknown(mux, w, r)
	}}))
	return mux
}

// unknown answers what no route took: a path that is none, or one that wants another method.
func unknown(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) error {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := *r
		other.Method = method
		if _, pattern := mux.Handler(&other); pattern != "/" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		return fail(control.KindNotFound, "cannot find %s: the API's paths are in docs/api.md", r.URL.Path)
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	refuseWith(w, http.StatusMethodNotAllowed, &control.Error{Kind: control.KindInvalid, Message: fmt.Sprintf(
		"cannot %s %s: it wants %s", r.Method, r.URL.Path, strings.Join(allow, " or "))})
	return nil
}

// bodyPatience is how long a caller may take to send its request's body, writePatience how long to take in a piece of the
// answer. Who is slower, or gone without a word, loses the connection and holds nothing here.
const (
	bodyPatience  = 30 * time.Second
	writePatience = 10 * time.Second
)

// guard lets a request in when its caller may do what the route does.
func (g *guests) guard(r route) http.HandlerFunc {
	origin := http.NewCrossOriginProtection()
	return func(plain http.ResponseWriter, req *http.Request) {
		w := &paced{ResponseWriter: plain, conn: http.NewResponseController(plain)}
		defer w.extend() // for what is still buffered when the handler has ended
		level := levelOf(req)
		switch {
		case level == accessNone:
			refuse(w, fail(control.KindDenied, "cannot answer: this socket belongs to another user"))
			return
		case level != accessOperate && !loopbackName(req.Host):
			refuse(w, fail(control.KindDenied, "cannot answer for host %q: this listener is for loopback names", req.Host))
			return
		case origin.Check(req) != nil:
			refuse(w, fail(control.KindDenied, "cannot take this from a page of another origin"))
			return
		case level < r.need:
			refuse(w, fail(control.KindDenied, "cannot do this here: processes are operated through the unix socket only (dsatctl uses it)"))
			return
		}
		if req.ContentLength != 0 {
			_ = w.conn.SetReadDeadline(time.Now().Add(bodyPatience)) // always supported by connections
		}
		defer g.begin(req)()
		if err := r.handle(w, req); err != nil {
			refuse(w, err)
		}
	}
}

// paced is an answer of which every piece has a deadline of its own, so that long streams live and dead callers do not.
type paced struct {
	http.ResponseWriter
	conn *http.ResponseController
}

func (p *paced) extend() { _ = p.conn.SetWriteDeadline(time.Now().Add(writePatience)) }

func (p *paced) Write(b []byte) (int, error) {
	p.extend()
	return p.ResponseWriter.Write(b)
}

// FlushError implements what http.ResponseController looks for.
func (p *paced) FlushError() error {
	p.extend()
	return p.conn.Flush()
}

// Unwrap gives http.ResponseController the connection below.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (s *Server) version(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, s.cfg.Version)
}

// duration reads a query parameter like ?timeout=30s; 0 when it is not given.
func duration(r *http.Request, name string) (time.Duration, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, invalid("cannot read %s %q: want a duration like 30s", name, text)
	}
	return d, nil
}

// isSet reads a query parameter as yes or no; bare "?verbose" is yes.
func isSet(r *http.Request, name string) bool {
	values, ok := r.URL.Query()[name]
	return ok && values[0] != "0" && values[0] != "false"
}
