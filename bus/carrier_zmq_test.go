package bus

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/dsat/dsat/bus/wire"
)

func TestZeroMQCarriesASession(t *testing.T) {
	s := serve(t, sat("w"))
	ref, inc, env := s.admit("w", 0)
	ended := s.dealWith(life{ref, inc, env["DSAT_TOKEN"]}, env, upper)
	s.expect("hello w:0")
	for i := range 500 {
		got, err := s.Send(t.Context(), "w", "text", fmt.Appendf(nil, "message %d", i), true)
		if err != nil || got.State != "done" || len(got.Results) != 1 || string(got.Results[0].Payload) != fmt.Sprintf("MESSAGE %d", i) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	if err := s.Drain(t.Context(), ref, inc); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	s.Gone(ref, inc, "exit code 0", nil)
	if l := s.Ledger(); l.Done != 500 || !l.Balanced() {
		t.Errorf("%+v", l)
	}
}

// A peer of an earlier daemon speaks well and is asked for HELLO; who speaks another language is refused, and named.
func TestZeroMQStrangers(t *testing.T) {
	s := serve(t, sat("w"))
	d := dial(t, s.url)
	defer d.close()
	var b wire.Builder
	b.Add(&wire.Header{Kind: wire.Done, Epoch: 7, N: 1}, nil)
	for _, c := range []struct {
		frame []byte
		code  uint64
	}{{b.Frame(), wire.ErrHelloAgain}, {[]byte("garbage"), wire.ErrProtocol}, {nil, wire.ErrProtocol}} {
		if err := d.send(c.frame); err != nil {
			t.Fatal(err)
		}
		f, err := d.recv()
		if err != nil {
			t.Fatal(err)
		}
		var rec wire.Record
		r, err := wire.Parse(f)
		if err != nil || !r.Next(&rec) || rec.Kind != wire.Error || rec.N != c.code {
			t.Errorf("%q: %v, %+v", c.frame, err, rec)
		}
	}
}

func TestZeroMQDeadWorkersMessagesGoToAnother(t *testing.T) {
	s := serve(t, sat("w"))
	refA, incA, envA := s.admit("w", 0)
	held := make(chan struct{})
	var once sync.Once
	s.dealWith(life{refA, incA, envA["DSAT_TOKEN"]}, envA, func(b *wire.Builder, r *wire.Record) {
		if r.Kind == wire.Data {
			once.Do(func() { close(held) })
		}
		if r.Kind == wire.Drain {
			b.Add(&wire.Header{Kind: wire.Bye, Epoch: 7}, nil)
		}
	})
	s.expect("hello w:0")
	result := make(chan Sent, 1)
	go func() {
		got, _ := s.Send(context.Background(), "w", "", []byte("x"), true)
		result <- got
	}()
	<-held
	refB, incB, envB := s.admit("w", 1)
	endB := s.dealWith(life{refB, incB, envB["DSAT_TOKEN"]}, envB, upper)
	s.expect("hello w:1")
	s.Gone(refA, incA, "killed by signal 9 (SIGKILL)", nil)
	if got := <-result; got.State != "done" || string(got.Results[0].Payload) != "X" {
		t.Errorf("%+v", got)
	}
	if err := s.Drain(t.Context(), refB, incB); err != nil {
		t.Error(err)
	}
	if err := <-endB; err != nil {
		t.Error(err)
	}
}
