package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

func fail(kind control.Kind, format string, args ...any) error {
	return &control.Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error { return fail(control.KindInvalid, format, args...) }

// kinded turns an error of the rooms below into one that survives the wire.
func kinded(err error) *control.Error {
	var known *control.Error
	var missing *supervisor.NotFound
	var carried *bus.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &missing):
		return &control.Error{Kind: control.KindNotFound, Message: err.Error(), Suggest: missing.Suggest}
	case errors.As(err, &carried):
		return &control.Error{Kind: control.Kind(carried.Kind), Message: carried.Text}
	case errors.Is(err, context.DeadlineExceeded):
		return &control.Error{Kind: control.KindTimeout, Message: err.Error()}
	}
	return &control.Error{Kind: control.KindFailed, Message: err.Error()}
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) error { return answerWith(w, http.StatusOK, v) }

// answerWith writes v as JSON under a status. Nothing is written when v cannot be told in JSON.
func answerWith(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cannot write the answer: %w", err)
	}
	write(w, status, "application/json", append(body, '\n'))
	return nil
}

// write sends a whole answer. When that fails the caller is gone, and there is nobody else to tell.
func write(w http.ResponseWriter, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// text writes one line for people.
func text(w http.ResponseWriter, status int, line string) error {
	write(w, status, "text/plain; charset=utf-8", []byte(line+"\n"))
	return nil
}

func refuse(w http.ResponseWriter, err error) {
	e := kinded(err)
	refuseWith(w, e.Kind.Status(), e)
}

func refuseWith(w http.ResponseWriter, status int, e *control.Error) {
	_ = answerWith(w, status, control.ErrorAnswer{Error: e}) // strings can be told in JSON
}
