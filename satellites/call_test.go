package satellites

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dsat/dsat/bus/wire"
)

// calling is a WELCOME that lets the satellite call.
func calling(messages int) wire.WelcomeBody {
	w := defaultWelcome
	w.Calls, w.CallMessages, w.CallBytes, w.CallMS = []string{"price", "", "stock"}, messages, 1<<20, 30_000
	return w
}

func reply(n, end uint64, body string) wire.Record {
	return wire.Record{Header: wire.Header{Kind: wire.Reply, N: n, M: end, ID: 70 + n}, Body: []byte(body)}
}

func putOut(n uint64, body string) wire.Record {
	return wire.Record{Header: wire.Header{Kind: wire.Reply, N: n, Flags: wire.FlagMore, Codec: wire.Text}, Body: []byte(body)}
}

// told runs one handler and returns what it says of its call.
func told(t *testing.T, handler func(ctx context.Context, out *Output) (*Reply, error)) (*daemon, chan string) {
	t.Helper()
	said := make(chan string, 8)
	n := workerNode(t, func(ctx context.Context, _ *Message, out *Output) error {
		r, err := handler(ctx, out)
		var failed *CallError
		switch {
		case errors.As(err, &failed):
			said <- fmt.Sprintf("%s %s %d", failed.State, failed.Reason, failed.Task)
		case err != nil:
			said <- err.Error()
		default:
			text := fmt.Sprint(r.Task)
			for _, o := range r.Outputs {
				text += " " + o.Codec + ":" + string(o.Payload)
			}
			said <- text
		}
		return nil
	})
	d := dial(t, n).welcome(calling(2))
	return d, said
}

func TestCallsAreAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		answer []wire.Record
		want   string
	}{
		"outputs":  {[]wire.Record{putOut(1, "a"), putOut(1, "b"), reply(1, wire.EndDone, "")}, "71 text:a text:b"},
		"nothing":  {[]wire.Record{reply(1, wire.EndDone, "")}, "71"},
		"failed":   {[]wire.Record{putOut(1, "half"), reply(1, wire.EndFailed, "no paper")}, "failed no paper 71"},
		"expired":  {[]wire.Record{reply(1, wire.EndExpired, "no answer in time")}, "expired no answer in time 71"},
		"refused":  {[]wire.Record{reply(1, wire.EndRefused, "gone")}, "refused gone 71"},
		"lost":     {[]wire.Record{reply(1, wire.EndLost, "stock:0 ended")}, "lost stock:0 ended 71"},
		"a stray":  {[]wire.Record{reply(9, wire.EndDone, ""), reply(1, wire.EndDone, "")}, "71"},
		"new ends": {[]wire.Record{reply(1, 77, "who knows")}, "failed who knows 71"},
	} {
		t.Run(name, func(t *testing.T) {
			d, said := told(t, func(ctx context.Context, out *Output) (*Reply, error) {
				return out.Call(ctx, "stock", []byte("item"), Within(time.Minute), Lasting(), CallCodec("json"), InSession(9))
			})
			d.send(data(5, "x"))
			rec := d.want(wire.Call)
			if rec.N != 1 || rec.M != 5 || rec.Port != 2 || rec.Codec != wire.JSON || rec.Flags != wire.FlagLasting || rec.ID != 9 || string(rec.Body) != "item" ||
				rec.Time > int64(time.Minute) || rec.Time < int64(time.Second) {
				t.Errorf("%+v", rec)
			}
			d.send(c.answer...)
			if got := <-said; got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			d.want(wire.Done)
		})
	}
}

func TestACallOfNobody(t *testing.T) {
	for step, want := range map[string]string{"": "names price, stock", "prize": "names price, stock"} {
		d, said := told(t, func(ctx context.Context, out *Output) (*Reply, error) { return out.Call(ctx, step, nil) })
		d.send(data(1, "x"))
		if got := <-said; !strings.Contains(got, want) {
			t.Errorf("%q", got)
		}
		d.want(wire.Done)
		d.send(wire.Record{Header: wire.Header{Kind: wire.Routes, N: 1}, Body: wire.AppendJSON(nil, &wire.RoutesBody{Calls: []string{"", "", ""}})}, data(2, "x"))
		if got := <-said; !strings.Contains(got, "names no step") {
			t.Errorf("%q", got)
		}
		d.want(wire.Done)
	}
}

// Outputs may be taken as they come; who does not want more says so, and dsatd is told.
func TestOutputsAreTakenAsTheyCome(t *testing.T) {
	var got []string
	enough := errors.New("enough")
	d, said := told(t, func(ctx context.Context, out *Output) (*Reply, error) {
		return out.Call(ctx, "price", nil, Each(func(r Result) error {
			if got = append(got, string(r.Payload)); string(r.Payload) == "stop" {
				return enough
			}
			return nil
		}))
	})
	d.send(data(1, "x"))
	d.want(wire.Call)
	d.send(putOut(1, "a"), putOut(1, "b"), reply(1, wire.EndDone, ""))
	if s := <-said; s != "71" || fmt.Sprint(got) != "[a b]" {
		t.Errorf("%q, %q", s, got)
	}
	d.want(wire.Done)
	d.send(data(2, "x"))
	d.want(wire.Call)
	d.send(putOut(2, "stop"))
	if s := <-said; s != "enough" {
		t.Error(s)
	}
	if rec := d.want(wire.Cancel); rec.N != 2 {
		t.Errorf("%+v", rec)
	}
	d.want(wire.Done)
}

// A handler whose message is cancelled waits for no answer, and dsatd hears that nobody does.
func TestACancelledHandlerGivesItsCallUp(t *testing.T) {
	d, said := told(t, func(ctx context.Context, out *Output) (*Reply, error) { return out.Call(ctx, "price", nil) })
	d.send(data(1, "x"))
	d.want(wire.Call)
	d.send(record(wire.Cancel, 1, 0))
	if got := <-said; got != context.Canceled.Error() {
		t.Error(got)
	}
	if rec := d.want(wire.Cancel); rec.N != 1 {
		t.Errorf("%+v", rec)
	}
	d.want(wire.Done)
	d.send(putOut(1, "late"), reply(1, wire.EndDone, ""), data(2, "y")) // it crossed
	if rec := d.want(wire.Call); rec.N != 2 {
		t.Errorf("%+v", rec)
	}
}

// Never more calls than the window: the others wait for their turn.
func TestCallsStayInTheirWindow(t *testing.T) {
	set, _ := apply([]Option{Concurrency(4)})
	n := newNode(Identity{Name: "cpu"}, set)
	n.worker = newWorker(func(ctx context.Context, _ *Message, out *Output) error {
		_, err := out.Call(ctx, "price", make([]byte, 100))
		return err
	}, set)
	t.Cleanup(func() {
		n.worker.stop()
		n.worker.running.Wait()
	})
	d := dial(t, n).welcome(calling(2))
	d.send(data(1, "a"), data(2, "b"), data(3, "c"), data(4, "d"))
	open, next, done := 0, uint64(1), 0
	for done < 4 {
		switch rec := d.read(); rec.Kind {
		case wire.Call:
			if open++; open > 2 {
				t.Fatalf("%d calls are open", open)
			}
		case wire.Done: // neighbours are answered by one
			done += int(max(rec.M, rec.N)-rec.N) + 1
		default:
			t.Fatalf("%v", rec.Kind)
		}
		for ; open == 2 || open > 0 && next == 4; next++ {
			d.send(reply(next, wire.EndDone, ""))
			open--
		}
	}
}

func TestCallsEndWithTheSession(t *testing.T) {
	d, said := told(t, func(ctx context.Context, out *Output) (*Reply, error) { return out.Call(ctx, "price", nil) })
	d.send(data(1, "x"))
	d.want(wire.Call)
	d.hangUp()
	if got := <-said; got != ErrLost.Error() && got != context.Canceled.Error() { // both are true
		t.Error(got)
	}
}

func TestASourceCalls(t *testing.T) {
	said := make(chan string, 1)
	n := sourceNode(t, func(ctx context.Context, e *Emitter) error {
		r, err := e.Call(ctx, "price", []byte("7"), CallCodec("text"))
		said <- fmt.Sprint(string(r.Payload()), err)
		return e.Emit(r.Payload())
	})
	d := dial(t, n).welcome(calling(2))
	if rec := d.want(wire.Call); rec.M != 0 || rec.Codec != wire.Text {
		t.Errorf("%+v", rec)
	}
	d.send(putOut(1, "12.50"), reply(1, wire.EndDone, ""))
	if got := <-said; got != "12.50<nil>" {
		t.Error(got)
	}
	if rec := d.want(wire.Emit); string(rec.Body) != "12.50" {
		t.Errorf("%q", rec.Body)
	}
	d.send(record(wire.Accepted, 1, 0))
	d.want(wire.Credit)
	d.want(wire.Bye)
	d.send(record(wire.Bye, 0, 0))
}

func TestAHandlerSeesTheSession(t *testing.T) {
	got := make(chan string, 3)
	d := dial(t, workerNode(t, func(_ context.Context, m *Message, _ *Output) error {
		got <- string(m.Payload) + m.Session
		return nil
	})).welcome(defaultWelcome)
	if !d.hello.Topics {
		t.Error("it does not say that it understands TOPIC")
	}
	topic := func(n uint64, name string) wire.Record {
		return wire.Record{Header: wire.Header{Kind: wire.Topic, N: n}, Body: wire.AppendJSON(nil, &wire.TopicBody{Session: name})}
	}
	d.send(data(1, "plain"), topic(2, "abc"), data(2, "of "), topic(3, "x"))
	d.send(data(3, "of "))
	for _, want := range []string{"plain", "of abc", "of x"} {
		if s := <-got; s != want {
			t.Errorf("%q, want %q", s, want)
		}
	}
}
