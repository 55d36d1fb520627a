package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	connectTimeout = 2 * time.Second
	patience       = 10 * time.Second // what a daemon that works needs at most to answer a question
	errorBodyLimit = 1 << 20
)

// Client speaks to one dsatd over its control socket. It keeps no connection between calls; several goroutines may use it.
//
// Every error of its methods is an *Error, but for context.Canceled. A question is given up after 10 s unless the context
// has a deadline of its own. A call that may rightly take long (Start, Stop, Restart, Scale, Send with a wait) has no limit
// but is given up when the daemon stops answering a small question asked beside it.
type Client struct {
	socket   string
	patience time.Duration
	tee      io.Writer
	http     *http.Client
}

// Dial returns a client of the daemon behind the socket. It connects with the first call only.
func Dial(socket string) *Client {
	dialer := net.Dialer{Timeout: connectTimeout}
	return &Client{
		socket:   socket,
		patience: patience,
		http: &http.Client{Transport: &http.Transport{
			DisableKeepAlives:  true,
			DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", socket)
			},
		}},
	}
}

// Tee returns a client that also writes the JSON of every good answer to w, unchanged and ended by a newline; of a stream,
// one line per value.
func (c *Client) Tee(w io.Writer) *Client {
	copied := *c
	copied.tee = w
	return &copied
}

// Socket is the path given to Dial.
func (c *Client) Socket() string { return c.socket }

// request is one line of the API's table.
type request struct {
	method string
	path   string
	query  url.Values
	body   []byte
	header http.Header
}

func get(path string, query url.Values) request {
	return request{method: http.MethodGet, path: path, query: query}
}

func post(path string, query url.Values) request {
	return request{method: http.MethodPost, path: path, query: query}
}

// Status asks what runs and what should.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return ask[Status](ctx, c, get(PathStatus, nil))
}

// Version asks for the daemon's version.
func (c *Client) Version(ctx context.Context) (*Version, error) {
	return ask[Version](ctx, c, get(PathVersion, nil))
}

// Start wants the named instances up and returns when they are ready. A timeout of 0 is the daemon's: as long as the
// deadlines of the satellites allow. Names are NAME, NAME:WID or globs.
func (c *Client) Start(ctx context.Context, names []string, timeout time.Duration) (*Change, error) {
	return c.change(ctx, names, "start", waiting("timeout", timeout))
}

// Stop wants the named instances down and returns when they are gone.
func (c *Client) Stop(ctx context.Context, names []string, timeout time.Duration) (*Change, error) {
	return c.change(ctx, names, "stop", waiting("timeout", timeout))
}

// Restart replaces the named instances, one after the other within a satellite, and returns when they are ready.
func (c *Client) Restart(ctx context.Context, names []string, timeout time.Duration) (*Change, error) {
	return c.change(ctx, names, "restart", waiting("timeout", timeout))
}

// Scale wants n instances of the satellite and returns when they are ready, or gone.
func (c *Client) Scale(ctx context.Context, name string, n int, timeout time.Duration) (*Change, error) {
	query := waiting("timeout", timeout)
	query.Set("n", strconv.Itoa(n))
	return c.change(ctx, []string{name}, "scale", query)
}

// Signal sends a signal ("HUP", "SIGHUP" or "1") to the processes of the named instances.
func (c *Client) Signal(ctx context.Context, names []string, signal string) (*Change, error) {
	return c.change(ctx, names, "signal", url.Values{"signal": {signal}})
}

func (c *Client) change(ctx context.Context, names []string, verb string, query url.Values) (*Change, error) {
	path := PathSatellites + url.PathEscape(strings.Join(names, ",")) + "/" + verb
	return askLong[Change](ctx, c, post(path, query))
}

// Down asks the daemon to stop and returns at once. The timeout is how long it may drain; 0 leaves that to the topology. An answer
// that is cut off is one, for the daemon may be gone before it has said all.
func (c *Client) Down(ctx context.Context, timeout time.Duration) error {
	return granted(c.do(ctx, post(PathDown, waiting("timeout", timeout)), nil))
}

// granted takes the end of the connection for the answer, where the end of the daemon was asked for.
func granted(err error) error {
	if failure := (*Error)(nil); errors.As(err, &failure) && failure.cut {
		return nil
	}
	return err
}

// Upgrade asks the daemon to execute another one in its place: the file at an absolute path, or what is at its own path now. It
// returns nil when the daemon answered no more, which is what one does that was replaced: ask Status who is there now. The timeout is
// how long what is in hand may take to be answered; 0 leaves that to the daemon.
func (c *Client) Upgrade(ctx context.Context, binary string, timeout time.Duration) error {
	query := waiting("timeout", timeout)
	if binary != "" {
		query.Set("binary", binary)
	}
	return granted(c.exchange(ctx, post(PathUpgrade, query), nil))
}

// Queues asks what waits for each step.
func (c *Client) Queues(ctx context.Context) ([]Queue, error) {
	queues, err := ask[[]Queue](ctx, c, get(PathQueues, nil))
	if err != nil {
		return nil, err
	}
	return *queues, nil
}

// QueuePause gives the workers of a step nothing more until QueueResume.
func (c *Client) QueuePause(ctx context.Context, step string) (*QueueChange, error) {
	return ask[QueueChange](ctx, c, post(PathQueues+"/"+url.PathEscape(step)+"/pause", nil))
}

// QueueResume ends a pause and a drain.
func (c *Client) QueueResume(ctx context.Context, step string) (*QueueChange, error) {
	return ask[QueueChange](ctx, c, post(PathQueues+"/"+url.PathEscape(step)+"/resume", nil))
}

// QueueDrain lets nothing more in until QueueResume. With a wait of more than 0 it returns when nothing is left, or the wait is over.
func (c *Client) QueueDrain(ctx context.Context, step string, wait time.Duration) (*QueueChange, error) {
	return askLong[QueueChange](ctx, c, post(PathQueues+"/"+url.PathEscape(step)+"/drain", waiting("wait", wait)))
}

// QueuePurge cancels what waits for a step and what is held there.
func (c *Client) QueuePurge(ctx context.Context, step string) (*QueueChange, error) {
	return ask[QueueChange](ctx, c, post(PathQueues+"/"+url.PathEscape(step)+"/purge", nil))
}

// Send hands the payload to a step. With a wait of more than 0 it returns when the task has ended or the wait is over
// (then Sent.State is "running"). An empty codec is the daemon's default.
func (c *Client) Send(ctx context.Context, step, codec string, payload []byte, wait time.Duration) (*Sent, error) {
	return c.SendWith(ctx, step, codec, payload, SendOptions{Wait: wait})
}

// Task asks what became of a message and all that descends from it.
func (c *Client) Task(ctx context.Context, id string) (*Task, error) {
	return ask[Task](ctx, c, get(PathTasks+url.PathEscape(id), nil))
}

// CancelTask ends a task: all of it that waits or is in hand. What its workers answer is ignored.
func (c *Client) CancelTask(ctx context.Context, id string) (*Task, error) {
	return ask[Task](ctx, c, post(PathTasks+url.PathEscape(id)+"/cancel", nil))
}

func waiting(key string, d time.Duration) url.Values {
	query := url.Values{}
	if d > 0 {
		query.Set(key, d.String())
	}
	return query
}

func ask[T any](ctx context.Context, c *Client, req request) (*T, error) {
	into := new(T)
	if err := c.do(ctx, req, into); err != nil {
		return nil, err
	}
	return into, nil
}

// askLong asks what may rightly take long.
func askLong[T any](ctx context.Context, c *Client, req request) (*T, error) {
	into := new(T)
	if err := c.long(ctx, func(ctx context.Context) error { return c.exchange(ctx, req, into) }); err != nil {
		return nil, err
	}
	return into, nil
}

// long runs a conversation that may rightly take long. Beside it small questions go to the daemon; when one stays without an answer
// the daemon hangs and the conversation is given up.
func (c *Client) long(ctx context.Context, talk func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.watch(ctx, cancel)
	}()
	err := talk(ctx)
	hung := context.Cause(ctx)
	cancel(nil)
	<-watched
	if failure := (*Error)(nil); err != nil && errors.As(hung, &failure) {
		return failure
	}
	return err
}

// watch ends ctx when the daemon does not answer.
func (c *Client) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	quiet := *c
	quiet.tee = nil
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.patience / 2):
		}
		_, err := quiet.Version(ctx)
		if failure := (*Error)(nil); errors.As(err, &failure) && failure.Kind == KindTimeout && ctx.Err() == nil {
			cancel(failure)
			return
		}
	}
}

// do is a question: it has a deadline in any case.
func (c *Client) do(ctx context.Context, req request, into any) error {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	return c.exchange(ctx, req, into)
}

func (c *Client) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.patience)
}

// exchange sends the request and decodes the whole answer into a value, unless that is nil.
func (c *Client) exchange(ctx context.Context, req request, into any) error {
	answer, err := c.open(ctx, req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	if answer.ContentLength > 0 {
		body.Grow(int(answer.ContentLength) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(answer.Body); err != nil {
		return c.transport(ctx, err)
	}
	if into != nil {
		if err := json.Unmarshal(body.Bytes(), into); err != nil {
			return c.garbled(err)
		}
	}
	return c.pass(body.Bytes())
}

// pass writes an answer to the tee.
func (c *Client) pass(text []byte) error {
	if c.tee == nil {
		return nil
	}
	_, err := c.tee.Write(append(bytes.TrimRight(text, "\n"), '\n'))
	return err
}

// open sends the request and returns the answer when it is a good one.
func (c *Client) open(ctx context.Context, req request) (*http.Response, error) {
	if err := CheckSocket(c.socket); err != nil {
		return nil, err
	}
	target := "http://dsat" + req.path
	if len(req.query) > 0 {
		target += "?" + req.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, req.method, target, bytes.NewReader(req.body))
	if err != nil {
		return nil, &Error{Kind: KindInvalid, Message: fmt.Sprintf("cannot ask for %s: %v", req.path, err)}
	}
	for key, values := range req.header {
		r.Header[key] = values
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.transport(ctx, err)
	}
	if answer.StatusCode < 300 {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, c.refusal(ctx, req, answer)
}

// refusal reads the error that the daemon answered.
func (c *Client) refusal(ctx context.Context, req request, answer *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(answer.Body, errorBodyLimit))
	if err != nil {
		return c.transport(ctx, err)
	}
	var envelope ErrorAnswer
	if json.Unmarshal(body, &envelope) == nil && envelope.Error != nil && envelope.Error.Message != "" {
		if envelope.Error.Kind == "" {
			envelope.Error.Kind = KindOf(answer.StatusCode)
		}
		return envelope.Error
	}
	return &Error{Kind: KindOf(answer.StatusCode), Message: fmt.Sprintf(
		"cannot %s %s: the answer was %q without a reason: is %s a socket of dsatd, and of this version?",
		req.method, req.path, answer.Status, c.socket)}
}

// transport turns an error of the connection into one with a kind and a way out.
func (c *Client) transport(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Kind: KindUnavailable, Message: fmt.Sprintf(
			"cannot reach a daemon at %s: none is running there; start one with: dsatd start FILE", c.socket)}
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return &Error{Kind: KindDenied, Message: fmt.Sprintf(
			"cannot open %s: permission denied: the daemon belongs to another user", c.socket)}
	case isTimeout(err), errors.Is(err, syscall.EAGAIN):
		return &Error{Kind: KindTimeout, Message: fmt.Sprintf(
			"cannot get an answer from %s in time: the daemon is busy, stopped or hangs", c.socket)}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &Error{Kind: KindUnavailable, cut: true, Message: fmt.Sprintf(
			"cannot read on from the daemon at %s: it closed the connection: it has ended or is ending", c.socket)}
	}
	return &Error{Kind: KindUnavailable, Message: fmt.Sprintf("cannot talk to the daemon at %s: %v", c.socket, err)}
}

func (c *Client) garbled(err error) error {
	return &Error{Kind: KindFailed, Message: fmt.Sprintf(
		"cannot read the answer from %s: %v: is it a socket of dsatd, and of this version?", c.socket, err)}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
