package supervisor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// What is above the rate is counted, and said once a period, even when nothing more is written.
func TestRateLimitedBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, topology.Log{Rate: topology.LogRate{Lines: 10, Per: time.Second}, Ring: 1 << 20})
		defer d.posts.close()
		for range 3 {
			var lines []string
			for n := range 2000 {
				lines = append(lines, fmt.Sprint("line ", n))
			}
			d.say(time.Now(), Stdout, lines...)
		}
		d.append(time.Now(), &origin{stream: Stdout}, false, [][]byte{[]byte("for memory only")})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		d.say(time.Now(), Stdout, "after it")
		got := d.read("cpu.0.log")
		if strings.Count(got, "out line ") != 10 || strings.Count(got, "err dsatd: suppressed 5,990 lines above log.rate\n") != 1 || !strings.HasSuffix(got, "after it\n") {
			t.Errorf("%q", got)
		}
		if d.suppressed != 5990 || len(d.newest(100, 0)) != 13 {
			t.Errorf("%d, %d", d.suppressed, len(d.newest(100, 0)))
		}
	})
}

// Where the satellite would rather wait nothing is dropped: its pipe is not read until the rate allows it.
func TestRateThatBlocks(t *testing.T) {
	d := newDesk(t, topology.Log{Rate: topology.LogRate{Lines: 1, Per: time.Hour}, Overload: topology.LogBlock, Ring: 1 << 20})
	defer d.posts.close()
	o, err := newOutput()
	if err != nil {
		t.Fatal(err)
	}
	var fd [2]int
	if err := unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd[1])
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() { o.run(ctx) })
	defer func() { cancel(); loop.Wait(); o.end() }()
	c := &capture{fd: fd[0], book: d.logbook, stream: Stdout, toFile: true}
	o.add(c)
	say := func(n int) {
		if _, err := unix.Write(fd[1], []byte(strings.Repeat("line\n", n))); err != nil { // of nothing too
			t.Fatal(err)
		}
		for range 3 { // turns of the loop: what it listens to has been read by then
			if err := o.alive(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	count := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return int(d.count)
	}
	if say(10); count() != 10 {
		t.Fatalf("%d lines", count())
	}
	if say(5); count() != 10 {
		t.Errorf("%d lines were read though the rate is used up", count())
	}
	o.listen(c, true)
	if say(0); count() != 15 || d.suppressed != 0 {
		t.Errorf("%d lines, %d suppressed", count(), d.suppressed)
	}
}
