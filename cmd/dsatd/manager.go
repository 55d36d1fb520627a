package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// manager is whoever started this dsatd and wants to hear how it is, by the protocol of sd_notify: systemd, or another supervisor.
// Without one every method does nothing.
type manager struct {
	log    *slog.Logger
	addr   *unix.SockaddrUnix // nil: nobody wants to hear
	fd     int
	period time.Duration // of the watchdog; 0: there is none
	env    []string      // the variables it told us by, which a dsatd that is executed in our place needs again
	news   chan struct{} // something may have changed
	silent bool          // it was said that nobody listens
}

// The variables of sd_notify. No satellite ever sees them: they would let it speak for dsatd.
var managerVariables = [...]string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

const (
	// managerPatience bounds a word to a manager that does not read.
	managerPatience = 2 * time.Second
	// newsPace is how close two sentences of STATUS may follow each other.
	newsPace = time.Second
	// extension is how much more time is asked for with each sign of life during a long start or stop.
	extension = 30 * time.Second
)

// findManager takes the variables out of the environment.
func findManager(log *slog.Logger) (*manager, error) {
	m := &manager{log: log, fd: -1, news: make(chan struct{}, 1)}
	value := make(map[string]string)
	for _, key := range managerVariables {
		if v, ok := os.LookupEnv(key); ok {
			value[key] = v
			m.env = append(m.env, key+"="+v)
			if err := os.Unsetenv(key); err != nil {
				return nil, err
			}
		}
	}
	name := value["NOTIFY_SOCKET"]
	if name == "" {
		return m, nil
	}
	if name[0] != '/' && name[0] != '@' || len(name) > 107 {
		return nil, fmt.Errorf("cannot tell a service manager how we are: NOTIFY_SOCKET is %q; want an absolute path, or @NAME of an abstract socket, of at most 107 bytes", name)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot tell a service manager how we are: %w", err)
	}
	patience := unix.NsecToTimeval(int64(managerPatience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &patience); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	m.addr, m.fd = &unix.SockaddrUnix{Name: name}, fd
	m.period = watchdogPeriod(value["WATCHDOG_USEC"], value["WATCHDOG_PID"], log)
	return m, nil
}

// watchdogPeriod is half of what the manager is patient for; 0 when it means another process, or none.
func watchdogPeriod(usec, pid string, log *slog.Logger) time.Duration {
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(1000*time.Hour/time.Microsecond) {
		log.Warn("cannot keep the service manager's watchdog quiet: WATCHDOG_USEC is no number of microseconds", "value", usec)
		return 0
	}
	return time.Duration(n) * time.Microsecond / 2
}

// wanted: somebody listens.
func (m *manager) wanted() bool { return m.addr != nil }

// tell sends one datagram of assignments. It may take managerPatience, never more.
func (m *manager) tell(words ...string) {
	if m.addr == nil {
		return
	}
	err := unix.Sendto(m.fd, []byte(strings.Join(words, "\n")), unix.MSG_NOSIGNAL, m.addr)
	for errors.Is(err, unix.EINTR) {
		err = unix.Sendto(m.fd, []byte(strings.Join(words, "\n")), unix.MSG_NOSIGNAL, m.addr)
	}
	if err != nil && !m.silent {
		m.log.Warn("cannot tell the service manager how we are", "socket", m.addr.Name, "error", err)
	}
	m.silent = err != nil
}

// statusWord makes a sentence one line of a datagram.
func statusWord(sentence string) string {
	const most = 1 << 10
	sentence = strings.ReplaceAll(sentence, "\n", "; ")
	if len(sentence) > most {
		sentence = strings.ToValidUTF8(sentence[:most], "") + " ..."
	}
	return "STATUS=" + sentence
}

// changed says that the sentence may be another one. It never blocks.
func (m *manager) changed() {
	select {
	case m.news <- struct{}{}:
	default:
	}
}

// report keeps the manager informed until the context ends: the sentence whenever it changed, and WATCHDOG=1 only after the loops
// themselves have answered, so that a dsatd that hangs is found out. busy tells that a start or stop is going on, for which more
// time is asked for as long as the loops answer.
func (m *manager) report(ctx context.Context, alive func(context.Context) error, sentence func() (text string, busy bool)) {
	var ticker *time.Ticker
	var pulse <-chan time.Time
	defer func() {
		if ticker != nil {
			ticker.Stop()
		}
	}()
	said := ""
	for {
		_, busy := sentence()
		switch need := m.period > 0 || busy; {
		case need && ticker == nil:
			ticker = time.NewTicker(m.beat())
			pulse = ticker.C
		case !need && ticker != nil: // an idle dsatd that is not watched has no timer
			ticker.Stop()
			ticker, pulse = nil, nil
		}
		select {
		case <-ctx.Done():
			return
		case <-m.news:
			if text, _ := sentence(); text != said {
				said = text
				m.tell(statusWord(text))
				pause(ctx, min(newsPace, m.beat()/2))
			}
		case <-pulse:
			m.pulse(ctx, alive, busy)
		}
	}
}

// beat is the time between two signs of life.
func (m *manager) beat() time.Duration {
	if m.period > 0 {
		return m.period
	}
	return extension / 3
}

// pulse is one sign of life.
func (m *manager) pulse(ctx context.Context, alive func(context.Context) error, busy bool) {
	asking, cancel := context.WithTimeout(ctx, m.beat())
	defer cancel()
	if err := alive(asking); err != nil {
		if ctx.Err() == nil {
			m.log.Error("the service manager's watchdog is not told that dsatd lives: " + err.Error())
		}
		return
	}
	var words []string
	if m.period > 0 {
		words = append(words, "WATCHDOG=1")
	}
	if busy {
		words = append(words, "EXTEND_TIMEOUT_USEC="+strconv.FormatInt(extension.Microseconds(), 10))
	}
	m.tell(words...)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// reloading is said before a change of the topology, and followed by ready.
func (m *manager) reloading() {
	if !m.wanted() {
		return
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	m.tell("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10), statusWord("is taking over a changed topology"))
}

// ready also ends a reloading.
func (m *manager) ready(sentence string) {
	m.tell("READY=1", "MAINPID="+strconv.Itoa(os.Getpid()), statusWord(sentence))
}

func (m *manager) stopping() { m.tell("STOPPING=1", statusWord("is stopping")) }

func (m *manager) close() {
	if m.fd >= 0 {
		_ = unix.Close(m.fd)
	}
}
