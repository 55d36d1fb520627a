package satellites

import (
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/dsat/dsat/bus/wire"
)

func TestDrainFinishesWhatIsInHandAndWaitsForTheSignal(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	n := workerNode(t, func(context.Context, *Message, *Output) error {
		close(begun)
		<-hold
		return nil
	})
	w := wait(t, n)
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(1, ""))
	<-begun
	d.send(record(wire.Drain, 0, 0))
	d.send(record(wire.Ping, 1, 0))
	d.want(wire.Pong) // and no BYE before it
	close(hold)
	d.answers(1)
	d.want(wire.Bye)
	d.send(record(wire.Bye, 0, 0))
	if err := <-d.served; err != nil {
		t.Errorf("the session ended with %v", err)
	}
	w.term <- syscall.SIGTERM
	if err := w.within(t); err != nil {
		t.Error(err)
	}
}

func TestSignalWithoutDrainPausesFinishesAndSaysBye(t *testing.T) {
	begun, hold := make(chan struct{}), make(chan struct{})
	n := workerNode(t, func(context.Context, *Message, *Output) error {
		close(begun)
		<-hold
		return nil
	})
	w := wait(t, n)
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(1, ""))
	<-begun
	w.term <- syscall.SIGTERM
	if rec := d.want(wire.Credit); rec.N != 0 || rec.M != 0 {
		t.Errorf("CREDIT %d %d, want 0 0", rec.N, rec.M)
	}
	close(hold)
	d.answers(1)
	d.want(wire.Bye)
	d.send(data(2, "crossed the BYE"))
	d.send(record(wire.Bye, 0, 0))
	if err := w.within(t); err != nil {
		t.Error(err)
	}
}

func TestRoutesReplaceThoseOfWelcome(t *testing.T) {
	n := workerNode(t, func(_ context.Context, m *Message, out *Output) error {
		out.EmitTo("new", []byte(m.From))
		return nil
	})
	d := dial(t, n).welcome(defaultWelcome)
	body := wire.AppendJSON(nil, wire.RoutesBody{Routes: []string{"csv", "new"}, From: []string{"a", "b"}})
	d.send(wire.Record{Header: wire.Header{Kind: wire.Routes, N: 2}, Body: body})
	d.send(data(7, ""))
	rec := d.want(wire.Done)
	var o wire.Output
	if outs := rec.Outputs(); !outs.Next(&o) || o.Port != 1 || string(o.Payload) != "b" {
		t.Errorf("output %+v %q", o, o.Payload)
	}
}

func TestALinkThatIsGoneKeepsItsPort(t *testing.T) {
	n := workerNode(t, func(_ context.Context, m *Message, out *Output) error {
		out.EmitTo(string(m.Payload), nil)
		return nil
	})
	d := dial(t, n).welcome(defaultWelcome)
	body := wire.AppendJSON(nil, wire.RoutesBody{Routes: []string{"", "alarm", "new"}, From: []string{"clock"}})
	d.send(wire.Record{Header: wire.Header{Kind: wire.Routes, N: 2}, Body: body})
	d.send(data(1, "new"))
	rec := d.want(wire.Done)
	var o wire.Output
	if outs := rec.Outputs(); !outs.Next(&o) || o.Port != 2 {
		t.Errorf("output %+v", o)
	}
	for _, gone := range []string{"", "csv"} {
		d.send(data(2, gone))
		if rec := d.want(wire.Fail); rec.Flags != 0 || !strings.Contains(string(rec.Body), "the links are alarm, new") {
			t.Errorf("%+v %s", rec.Header, rec.Body)
		}
	}
}

func TestHelloAgainOnTheSameStream(t *testing.T) {
	n := workerNode(t, func(context.Context, *Message, *Output) error { return nil })
	d := dial(t, n).welcome(defaultWelcome)
	d.send(record(wire.Error, wire.ErrHelloAgain, 0))
	d.epoch = 2
	d.welcome(defaultWelcome)
	d.send(data(1, ""))
	d.answers(1)
}

func TestEndsOfASession(t *testing.T) {
	tests := map[string]struct {
		do   func(*daemon)
		want string
	}{
		"refused": {func(d *daemon) {
			d.send(wire.Record{Header: wire.Header{Kind: wire.Error, N: wire.ErrToken}, Body: []byte("wrong token")})
		}, "wrong token"},
		"garbage": {func(d *daemon) { _ = d.to.send([]byte(strings.Repeat("garbage ", 20))) }, "does not begin with DSAT"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := workerNode(t, func(context.Context, *Message, *Output) error { return nil })
			w := wait(t, n)
			d := dial(t, n).welcome(defaultWelcome)
			tt.do(d)
			if err := w.within(t); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLostSessionCancelsWhatRuns(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	n := workerNode(t, func(ctx context.Context, _ *Message, _ *Output) error {
		close(begun)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	})
	d := dial(t, n).welcome(defaultWelcome)
	d.send(data(1, ""))
	<-begun
	d.hangUp()
	<-ended
	if err := <-d.served; !errors.Is(err, io.EOF) {
		t.Errorf("the session ended with %v, want EOF", err)
	}
}
