package web

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/web/control"
)

// example fills a route's pattern with names that do no harm.
func example(pattern string) string {
	what := strings.NewReplacer("{$}", "", "{names}", "ghost", "{step}", "ghost", "{id}", "9.9").Replace(pattern)
	if strings.HasSuffix(what, "/events") {
		what += "?follow=0"
	}
	return what
}

func TestEveryRouteAtEveryDoor(t *testing.T) {
	h := lived(t, stage)
	for _, r := range h.routes() {
		what := example(r.pattern)
		if got := h.ask("unix", what, ""); got.status == http.StatusForbidden {
			t.Errorf("%s through the unix socket: %d %s", what, got.status, got.body)
		}
		got := h.ask("tcp", what, "")
		if denied := got.status == http.StatusForbidden && got.kind() == control.KindDenied; denied != (r.need == accessOperate) {
			t.Errorf("%s over TCP: %d %s", what, got.status, got.body)
		}
		got = h.ask("tcp", what, "", "Host", "evil.example:9555")
		if got.status != http.StatusForbidden || got.kind() != control.KindDenied {
			t.Errorf("%s for a foreign host: %d %s", what, got.status, got.body)
		}
		for _, header := range [][2]string{{"Origin", "http://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}} {
			got := h.ask("tcp", what, "", header[0], header[1])
			denied := got.status == http.StatusForbidden && got.kind() == control.KindDenied
			if post := strings.HasPrefix(what, "POST"); denied != (post || r.need == accessOperate) {
				t.Errorf("%s with %v: %d %s", what, header, got.status, got.body)
			}
		}
	}
	select {
	case <-h.down: // asked through the unix socket
	default:
		t.Error("down was not told")
	}
}

func TestHostsThatAreLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:9555": true, "127.0.0.1": true, "127.8.9.1:80": true, "[::1]:9555": true, "::1": true, "[::1]": true,
		"": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "192.168.1.5:9555": false, "0.0.0.0": false, "[::]:80": false,
		"evil.example": false, "localhost@evil": false,
	} {
		if got := loopbackName(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

func TestWhoMayOperate(t *testing.T) {
	for _, c := range []struct {
		peer, own uint32
		want      access
	}{{0, 1000, accessOperate}, {1000, 1000, accessOperate}, {0, 0, accessOperate}, {1001, 1000, accessNone}, {1000, 0, accessNone}, {65534, 1000, accessNone}} {
		if got := levelOfUser(c.peer, c.own); got != c.want {
			t.Errorf("user %d at a daemon of %d: %d", c.peer, c.own, got)
		}
	}
}

func TestTheSocketIsTheOwnersAlone(t *testing.T) {
	h := built(t, stage)
	info, err := os.Stat(h.socket())
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Somebody opened the socket's mode: the kernel's word on who is calling still holds.
func TestAForeignUserIsRefusedThroughAnOpenSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	h := lived(t, stage)
	if err := os.Chmod(filepath.Dir(h.socket()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.socket(), 0o666); err != nil {
		t.Fatal(err)
	}
	answer, err := askAs(65534, h.socket(), "GET /v1/status HTTP/1.0\r\n\r\n")
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.0 403") || !strings.Contains(answer, `"kind":"denied"`) || !strings.Contains(answer, "another user") {
		t.Errorf("%q, %v", answer, err)
	}
}

// askAs connects as another user: credentials are the thread's, which ends with the goroutine that stays locked to it.
func askAs(uid uintptr, socket, request string) (answer string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
			err = fmt.Errorf("setresuid: %w", e)
			return
		}
		fd, e := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if e != nil {
			err = e
			return
		}
		defer unix.Close(fd)
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
			return
		}
		if _, err = unix.Write(fd, []byte(request)); err != nil {
			return
		}
		buffer := make([]byte, 4096)
		for {
			n, e := unix.Read(fd, buffer)
			if n <= 0 {
				err = e
				return
			}
			answer += string(buffer[:n])
		}
	}()
	<-done
	return answer, err
}
