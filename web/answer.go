package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/dsat/dsat/bus"
	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/web/control"
)

// statusOf is the HTTP status of each kind of error.
var statusOf = map[control.Kind]int{
	control.KindInvalid:     http.StatusBadRequest,
	control.KindDenied:      http.StatusForbidden,
	control.KindNotFound:    http.StatusNotFound,
	control.KindConflict:    http.StatusConflict,
	control.KindTimeout:     http.StatusGatewayTimeout,
	control.KindUnavailable: http.StatusServiceUnavailable,
	control.KindFailed:      http.StatusInternalServerError,
}

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
func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, err error) {
	e := kinded(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf[e.Kind])
	// The connection may be gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(control.ErrorAnswer{Error: e})
}
