package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// access is what a caller may do; each level includes those below it.
type access int

const (
	accessNone access = iota
	accessRead
	accessSend
	accessOperate
)

func (a access) String() string { return [...]string{"none", "read", "send", "operate"}[a] }

// doorKey is the context key under which a connection's access level travels.
type doorKey struct{}

// unixDoor asks the kernel who is at the other end of a unix socket's connection.
func unixDoor(ctx context.Context, c net.Conn) context.Context {
	level := accessNone
	if uid, err := peerUID(c); err == nil {
		level = levelOfUser(uid, uint32(os.Geteuid()))
	}
	return context.WithValue(ctx, doorKey{}, level)
}

// levelOfUser lets the daemon's own user and root operate, and nobody else anything (the socket's mode refuses them already;
// this holds when somebody changed it).
func levelOfUser(peer, own uint32) access {
	if peer == 0 || peer == own {
		return accessOperate
	}
	return accessNone
}

func tcpDoor(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, doorKey{}, accessSend)
}

func peerUID(c net.Conn) (uint32, error) {
	sc, ok := c.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("cannot tell the peer of a %T", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

// levelOf is what the caller of r may do, by the door it came through.
func levelOf(r *http.Request) access {
	level, _ := r.Context().Value(doorKey{}).(access)
	return level
}

// loopbackName says whether a Host header names this machine's loopback. Over TCP no other is answered: a foreign page
// reaches a local server through a name of its own (DNS rebinding). The unix socket has no host to check.
func loopbackName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}
