// Command dsatctl steers a running dsatd: it turns arguments into calls of its API and prints the answers.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	_, err := unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS)
	os.Exit(run(ctx, ends{in: os.Stdin, out: os.Stdout, errs: os.Stderr, terminal: err == nil, now: time.Now}, os.Args[1:]))
}
