package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

// The connection of a run, after the answer 101: the client sends one byte that carries three descriptors (SCM_RIGHTS), then a
// RunRequest as a line of JSON, then a RunSignal per line. The daemon answers with a RunAnswer per line: the last one is its
// end. A client that closes the connection gives the program up: it gets SIGHUP, and soon SIGKILL.

// RunProtocol is the word of the headers Upgrade.
const RunProtocol = "dsat-run"

// RunRequest says what to run as a satellite would run.
type RunRequest struct {
	Argv []string `json:"argv"`
	TTY  bool     `json:"tty,omitempty"`  // the descriptors are a terminal, which becomes the program's own
	Term string   `json:"term,omitempty"` // its TERM
}

// RunSignal is to be sent to the program and its process group.
type RunSignal struct {
	Signal int `json:"signal"`
}

// RunAnswer is one thing that became of it.
type RunAnswer struct {
	End    bool   `json:"end,omitempty"`
	Code   int    `json:"code,omitempty"`
	Signal int    `json:"signal,omitempty"` // that ended it
	Error  string `json:"error,omitempty"`  // it never ran, and this is why
}

// Run runs a program as a satellite (or instance) would run, with these standard descriptors, and returns its end. Signals that come
// are passed on. begun is told when the daemon has the descriptors.
func (c *Client) Run(ctx context.Context, name string, r RunRequest, files [3]*os.File, signals <-chan os.Signal, begun func()) (*RunAnswer, error) {
	conn, answers, err := c.runConn(ctx, name)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	line, err := json.Marshal(r)
	if err == nil {
		rights := syscall.UnixRights(int(files[0].Fd()), int(files[1].Fd()), int(files[2].Fd()))
		_, _, err = conn.WriteMsgUnix([]byte{0}, rights, nil)
	}
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		return nil, c.transport(ctx, err)
	}
	begun()
	done := make(chan struct{})
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		passSignals(conn, signals, done)
	}()
	end, err := readRun(answers)
	close(done)
	<-passed
	if err != nil {
		return nil, c.transport(ctx, err)
	}
	return end, nil
}

func passSignals(conn io.Writer, signals <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case sig := <-signals:
			if n, ok := sig.(syscall.Signal); ok {
				_, _ = fmt.Fprintf(conn, "{\"signal\":%d}\n", int(n)) // who reads the answers finds out
			}
		}
	}
}

func readRun(r io.Reader) (*RunAnswer, error) {
	for in := json.NewDecoder(r); ; {
		var a RunAnswer
		if err := in.Decode(&a); err != nil {
			return nil, err
		}
		if a.End {
			return &a, nil
		}
	}
}

// runConn makes a connection of its own and has it become one of a run.
func (c *Client) runConn(ctx context.Context, name string) (*net.UnixConn, *bufio.Reader, error) {
	if err := CheckSocket(c.socket); err != nil {
		return nil, nil, err
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	plain, err := dialer.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, nil, c.transport(ctx, err)
	}
	conn := plain.(*net.UnixConn)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dsat"+PathSatellites+url.PathEscape(name)+"/run", bytes.NewReader(nil))
	if err == nil {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", RunProtocol)
		err = req.Write(conn)
	}
	in := bufio.NewReader(conn)
	var answer *http.Response
	if err == nil {
		answer, err = http.ReadResponse(in, req)
	}
	if err != nil {
		return nil, nil, errors.Join(c.transport(ctx, err), conn.Close())
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		defer conn.Close()
		defer answer.Body.Close()
		return nil, nil, c.refusal(ctx, post(req.URL.Path, nil), answer)
	}
	return conn, in, nil
}
