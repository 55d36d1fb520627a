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

func TestZeroMQStrangersAreToldToSayHello(t *testing.T) {
	s := serve(t, sat("w"))
	d := dial(t, s.url)
	defer d.close()
	var b wire.Builder
	b.Add(&wire.Header{Kind: wire.Done, Epoch: 7, N: 1}, nil)
	for _, frame := range [][]byte{b.Frame(), []byte("garbage"), {}} {
		if err := d.send(frame); err != nil {
			t.Fatal(err)
		}
		f, err := d.recv()
		if err != nil {
			t.Fatal(err)
		}
		var rec wire.Record
		r, err := wire.Parse(f)
		if err != nil || !r.Next(&rec) || rec.Kind != wire.Error || rec.N != wire.ErrHelloAgain {
			t.Errorf("%q: %v, %+v", frame, err, rec)
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
