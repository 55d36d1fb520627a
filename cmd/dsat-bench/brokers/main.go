// Command brokers is the client side of the brokers that dsat-bench measures dsat beside. It is a module of its own, so that
// their libraries and servers are no dependencies of dsat: dsat-bench builds it, and the servers its go.mod names, into its cache.
//
// A process is one publisher or one consumer, as a satellite is one process. It adds what it has done to its own 64-bit counter
// of a file that the bench maps too, so that a rate is two readings of a clock and of the counters, whatever the processes are doing.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// client is one process of a broker: who it talks to, and what it shall do.
type client struct {
	url  string
	size int // bytes of a payload, at least 8
	rate int // messages a second of an open-loop publisher; 0 is as fast as it goes
	done *atomic.Uint64
	stop chan os.Signal
	out  string // where a consumer leaves the times it took; empty: it does not look
}

// roles are what a process can be: publishers count what the broker has acknowledged, or taken where nothing is acknowledged;
// consumers what they have handled.
func roles() map[string]func(*client) error {
	return map[string]func(*client) error{
		"nats-pub": natsPublish, "nats-sub": natsConsume,
		"js-setup": jetSetup, "js-pub": jetPublish, "js-sync": jetPublishSync, "js-sub": jetConsume,
		"nsq-pub": nsqPublish, "nsq-mpub": nsqMultiPublish, "nsq-sub": nsqConsume,
	}
}

func main() {
	role := flag.String("role", "", "what to be")
	url := flag.String("url", "", "HOST:PORT of the server")
	size := flag.Int("size", 64, "bytes of a payload, at least 8")
	rate := flag.Int("rate", 0, "messages a second of a publisher; 0: as fast as it goes")
	counters := flag.String("counters", "", "file of 64-bit counters")
	slot := flag.Int("slot", 0, "which counter is this process's")
	out := flag.String("out", "", "file for the times from due to handled")
	flag.Parse()
	c := &client{url: *url, size: max(*size, 8), rate: *rate, out: *out, stop: make(chan os.Signal, 1)}
	signal.Notify(c.stop, syscall.SIGTERM, syscall.SIGINT)
	err := c.count(*counters, *slot)
	if err == nil {
		do, ok := roles()[*role]
		if !ok {
			err = fmt.Errorf("cannot be %q", *role)
		} else {
			err = do(c)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "brokers:", err)
		os.Exit(1)
	}
}

// count maps this process's counter.
func (c *client) count(path string, slot int) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if int64(slot+1)*8 > info.Size() {
		return fmt.Errorf("%s has no counter %d", path, slot)
	}
	shared, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	c.done = (*atomic.Uint64)(unsafe.Pointer(&shared[slot*8])) // a mapping begins at a page, so this is aligned
	return nil
}

// publish calls send for each message, at c.rate or as fast as it goes, until the process is told to end; settle lets what is pending
// go before a pause.
func (c *client) publish(send func(payload []byte) error, settle func() error) error {
	go func() { // send may wait for a server that is behind
		<-c.stop
		os.Exit(0)
	}()
	payload := make([]byte, c.size)
	if c.rate == 0 {
		for {
			if err := send(payload); err != nil {
				return err
			}
		}
	}
	p := newPacer()
	start := p.now()
	for k := int64(0); ; k++ {
		due := start + k*int64(time.Second)/int64(c.rate)
		for now := p.now(); now < due; now = p.now() {
			if err := settle(); err != nil {
				return err
			}
			p.until(max(due, now+int64(tick)))
		}
		fresh := make([]byte, c.size) // some libraries keep what they are given
		binary.LittleEndian.PutUint64(fresh, uint64(due))
		if err := send(fresh); err != nil {
			return err
		}
	}
}

// handled is what a consumer does with a message.
func (c *client) handled() (handle func(payload []byte), end func() error) {
	if c.out == "" {
		return func([]byte) { c.done.Add(1) }, func() error { return nil }
	}
	clock, times := newClock(), newTimes()
	handle = func(payload []byte) {
		c.done.Add(1)
		now := clock.now()
		times.add(now, now-int64(binary.LittleEndian.Uint64(payload)))
	}
	return handle, func() error { return times.write(c.out) }
}

// address is the URL without a scheme.
func (c *client) address() string { return strings.TrimPrefix(c.url, "nats://") }
