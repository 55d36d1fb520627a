package zmq_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/zmq"
)

const maxMessage = 1 << 20

// pair is a ROUTER and a DEALER that has said hello; id is what the ROUTER calls it.
func pair(t *testing.T) (router, dealer *zmq.Socket, id []byte) {
	t.Helper()
	url := "ipc://" + filepath.Join(t.TempDir(), "s")
	router, err := zmq.Bind(url, maxMessage, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(router.Close)
	if dealer, err = zmq.Connect(url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dealer.Close)
	var m zmq.Message
	if err := dealer.Send(nil, []byte("hello"), true); err != nil {
		t.Fatal(err)
	}
	if err := router.Receive(&m, true); err != nil || m.Parts != 1 || string(m.Data) != "hello" || len(m.ID) == 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	return router, dealer, bytes.Clone(m.ID)
}

func TestFramesOfAllSizesComeBack(t *testing.T) {
	router, dealer, id := pair(t)
	var m zmq.Message
	for _, size := range []int{0, 1, 29, 30, 8191, 64 << 10, 200 << 10, maxMessage, 3} {
		want := bytes.Repeat([]byte{byte(size), 7}, (size+1)/2)[:size]
		if err := dealer.Send(nil, want, true); err != nil {
			t.Fatal(err)
		}
		if err := router.Receive(&m, true); err != nil || !bytes.Equal(m.Data, want) || !bytes.Equal(m.ID, id) || m.Parts != 1 {
			t.Fatalf("%d bytes became %d in %d parts: %v", size, len(m.Data), m.Parts, err)
		}
		if err := router.Send(m.ID, m.Data, false); err != nil {
			t.Fatal(err)
		}
		if err := dealer.Receive(&m, true); err != nil || !bytes.Equal(m.Data, want) || m.Parts != 1 || len(m.ID) != 0 {
			t.Fatalf("%d bytes came back as %d: %v", size, len(m.Data), err)
		}
	}
}

func TestNothingWaits(t *testing.T) {
	router, dealer, id := pair(t)
	var m zmq.Message
	if err := router.Receive(&m, false); !errors.Is(err, zmq.ErrAgain) || router.Readable() {
		t.Errorf("nothing to receive: %v", err)
	}
	if err := router.Send([]byte("nobody"), []byte("x"), false); !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("to nobody: %v", err)
	}
	frame := make([]byte, 64<<10)
	sent := 0
	for ; ; sent++ { // it is not read: 8 wait, the others fill the socket
		if err := router.Send(id, frame, false); errors.Is(err, zmq.ErrAgain) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if sent == 0 {
		t.Fatal("none was sent")
	}
	for range sent {
		if err := dealer.Receive(&m, true); err != nil || len(m.Data) != len(frame) {
			t.Fatalf("%d bytes, %v", len(m.Data), err)
		}
	}
}

func TestWhoSendsTooMuchIsHungUpOn(t *testing.T) {
	router, dealer, _ := pair(t)
	var m zmq.Message
	if err := dealer.Send(nil, make([]byte, maxMessage+1), true); err != nil {
		t.Fatal(err)
	}
	for { // by a connection that it makes anew; what was on its way by the one before is lost
		if err := dealer.Send(nil, []byte("again"), true); err != nil {
			t.Fatal(err)
		}
		err := router.Receive(&m, false)
		if err == nil {
			break
		}
		if !errors.Is(err, zmq.ErrAgain) {
			t.Fatal(err)
		}
		<-time.After(time.Millisecond)
	}
	if string(m.Data) != "again" {
		t.Fatalf("%d bytes", len(m.Data))
	}
}

func TestErrorsAreInWords(t *testing.T) {
	if _, err := zmq.Bind("ipc:///nowhere/at/all", 1, 1); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("%v", err)
	}
	if _, err := zmq.Connect("nonsense"); err == nil || !strings.Contains(err.Error(), "Invalid argument") {
		t.Errorf("%v", err)
	}
	if v := zmq.Version(); !strings.HasPrefix(v, "4.") {
		t.Error(v)
	}
}

func TestAFrameAllocatesNothing(t *testing.T) {
	router, dealer, id := pair(t)
	var m zmq.Message
	frame := make([]byte, 10_000)
	allocs := testing.AllocsPerRun(200, func() {
		if err := errors.Join(router.Send(id, frame, true), dealer.Receive(&m, true), dealer.Send(nil, m.Data, true), router.Receive(&m, true)); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations for a frame there and back", allocs)
	}
}
