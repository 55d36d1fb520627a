package null

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dsat/dsat/satellites"
	"github.com/dsat/dsat/satellites/ledger"
)

func TestOptions(t *testing.T) {
	if _, err := Parse(map[string]any{"work": "1ms", "spin": true, "concurrency": 4, "ledger": "x"}); err != nil {
		t.Error(err)
	}
	for _, bad := range []map[string]any{{"work": "-1s"}, {"work": 5}, {"concurrency": 0}, {"spin": "yes"}, {"x": 1}} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestWorkTakesItsTimeAndEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		h := Handler(Options{Work: satellites.Duration(time.Second)}, nil)
		if err := h(context.Background(), &satellites.Message{}, nil); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := h(ctx, &satellites.Message{}, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	spin := Handler(Options{Work: satellites.Duration(time.Hour), Spin: true}, nil)
	if err := spin(ctx, &satellites.Message{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	w, err := ledger.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	h := Handler(Options{}, w)
	for _, seq := range []uint64{4, 5, 5} {
		if err := h(t.Context(), &satellites.Message{Payload: ledger.AppendPayload(nil, "g:0/1", seq, 64)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := h(t.Context(), &satellites.Message{Payload: []byte("other")}, nil); err == nil {
		t.Error("a payload of another was taken")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "g:0/1 4 5\ng:0/1 5 5\n" {
		t.Errorf("%q, %v", text, err)
	}
}
