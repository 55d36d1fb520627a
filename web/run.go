package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

const (
	runPatience = 10 * time.Second // for the descriptors and the request
	runGrace    = 2 * time.Second  // between SIGHUP and SIGKILL for a program whose caller has gone
	runLine     = 1 << 20          // bytes of a request
)

// run lets somebody run a program as a satellite would run: the connection becomes one of control.RunProtocol.
func (s *Server) run(w http.ResponseWriter, r *http.Request) error {
	ref, err := s.runRef(r.PathValue("names"))
	if err != nil {
		return err
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), control.RunProtocol) {
		return invalid("cannot run a program over plain HTTP: its descriptors have to be handed over (`dsatctl run` does)")
	}
	plain, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("cannot take over the connection: %w", err)
	}
	defer plain.Close()
	conn, ok := plain.(*net.UnixConn)
	if !ok || buffered.Reader.Buffered() > 0 {
		return nil // said something before it was asked to; nobody can be told any more
	}
	if plain.SetDeadline(time.Now().Add(runPatience)) != nil {
		return nil
	}
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", control.RunProtocol); err != nil {
		return nil
	}
	s.host(ref, conn)
	return nil
}

// runRef is one instance: the named one, or the first of a satellite.
func (s *Server) runRef(name string) (topology.Ref, error) {
	refs, err := s.cfg.Supervisor.Select(name)
	if err != nil {
		return topology.Ref{}, err
	}
	for _, ref := range refs {
		if ref.Name != refs[0].Name {
			return topology.Ref{}, invalid("cannot run a program for %s: that is more than one satellite", name)
		}
	}
	if len(refs) == 0 {
		return topology.Ref{Name: name}, nil // scaled to 0
	}
	return refs[0], nil
}

// host serves one guest until it has ended.
func (s *Server) host(ref topology.Ref, conn *net.UnixConn) {
	files, err := receiveFiles(conn)
	defer closeFiles(files)
	var req control.RunRequest
	in := bufio.NewReaderSize(conn, 4<<10)
	if err == nil {
		err = readRequest(in, &req)
	}
	if err != nil {
		say(conn, control.RunAnswer{End: true, Error: "cannot read what to run: " + err.Error()})
		return
	}
	_ = conn.SetDeadline(time.Time{}) // it may take as long as it likes
	var env []string
	if req.Term != "" {
		env = []string{"TERM=" + req.Term}
	}
	ended := make(chan supervisor.Exit, 1)
	visit, err := s.cfg.Supervisor.Receive(supervisor.Guest{
		Ref: ref, Argv: req.Argv, Env: env, Files: files, TTY: req.TTY,
		Begun: func(pid int) {
			s.cfg.Log.Info("a program runs as "+ref.String()+", by hand", "pid", pid, "program", req.Argv[0])
		},
		Ended: func(e supervisor.Exit) { ended <- e },
	})
	if err != nil {
		say(conn, control.RunAnswer{End: true, Error: err.Error()})
		return
	}
	gone := make(chan struct{})
	go func() { // ends with the connection, which host closes
		defer close(gone)
		passOn(in, visit)
	}()
	var e supervisor.Exit
	select {
	case e = <-ended:
	case <-gone:
		visit.Signal(syscall.SIGHUP)
		kill := time.AfterFunc(runGrace, func() { visit.End("its caller has gone") })
		e = <-ended
		kill.Stop()
	}
	answer := control.RunAnswer{End: true, Code: e.Code, Signal: int(e.Signal)}
	if e.Err != nil {
		answer.Error = e.Err.Error()
	}
	say(conn, answer)
	_ = conn.CloseRead() // ends passOn
	<-gone
}

// passOn signals the guest as its caller asks, until the caller has gone.
func passOn(in *bufio.Reader, visit *supervisor.Visit) {
	for decoder := json.NewDecoder(in); ; {
		var r control.RunSignal
		if decoder.Decode(&r) != nil {
			return
		}
		if r.Signal > 0 && r.Signal <= lastSignal {
			visit.Signal(syscall.Signal(r.Signal))
		}
	}
}

// readRequest takes one line.
func readRequest(in *bufio.Reader, req *control.RunRequest) error {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if line = append(line, part...); len(line) > runLine {
			return fmt.Errorf("it is longer than %d bytes", runLine)
		}
		if err == nil {
			break
		}
	}
	if err := json.Unmarshal(line, req); err != nil {
		return err
	}
	for _, word := range append([]string{req.Term}, req.Argv...) {
		if strings.ContainsRune(word, 0) {
			return errors.New("a word of it holds a NUL byte")
		}
	}
	if len(req.Argv) == 0 || req.Argv[0] == "" {
		return errors.New("a command is missing")
	}
	return nil
}

// receiveFiles takes the three descriptors that come with the first byte. -1 stands for one that did not come.
func receiveFiles(conn *net.UnixConn) (files [3]int, err error) {
	files = [3]int{-1, -1, -1}
	one, oob := make([]byte, 1), make([]byte, syscall.CmsgSpace(16*4))
	_, n, flags, _, err := conn.ReadMsgUnix(one, oob)
	if err != nil {
		return files, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return files, err
	}
	var all []int
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			continue // of another kind
		}
		all = append(all, fds...)
	}
	for _, fd := range all {
		syscall.CloseOnExec(fd)
	}
	if len(all) != len(files) || flags&syscall.MSG_CTRUNC != 0 {
		for _, fd := range all {
			_ = syscall.Close(fd)
		}
		return files, fmt.Errorf("%d descriptors came with it, want %d", len(all), len(files))
	}
	copy(files[:], all)
	return files, nil
}

func closeFiles(files [3]int) {
	for _, fd := range files {
		if fd >= 0 {
			_ = syscall.Close(fd)
		}
	}
}

// say writes to a caller that may have gone.
func say(conn net.Conn, answer control.RunAnswer) {
	text, err := json.Marshal(answer)
	if err == nil && conn.SetWriteDeadline(time.Now().Add(writePatience)) == nil {
		_, _ = conn.Write(append(text, '\n'))
	}
}
