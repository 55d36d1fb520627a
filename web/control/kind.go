package control

import "net/http"

// Kind classifies an Error for programs.
type Kind string

// The closed set of Kind and the HTTP status and dsatctl exit code each is told by.
const (
	KindInvalid     Kind = "invalid"     // 400, exit 2: the request makes no sense
	KindTopology    Kind = "topology"    // 422, exit 78: the topology is wrong; the message has every problem, with its place
	KindDenied      Kind = "denied"      // 403, exit 5
	KindNotFound    Kind = "not_found"   // 404, exit 4
	KindConflict    Kind = "conflict"    // 409, exit 1
	KindTimeout     Kind = "timeout"     // 504, exit 124: not finished in time; what was begun goes on
	KindUnavailable Kind = "unavailable" // 503, exit 3: no daemon, or it is stopping
	KindFailed      Kind = "failed"      // 500, exit 1
)

// Error is every error answer of the API: {"error": {...}}.
type Error struct {
	Kind    Kind     `json:"kind"`
	Message string   `json:"message"`           // a sentence for people: "cannot X: why"
	Suggest []string `json:"suggest,omitempty"` // names close to one that was not found
	cut     bool     // the connection ended before the answer
}

func (e *Error) Error() string { return e.Message }

// Status is the HTTP status that tells the kind.
func (k Kind) Status() int {
	switch k {
	case KindInvalid:
		return http.StatusBadRequest
	case KindTopology:
		return http.StatusUnprocessableEntity
	case KindDenied:
		return http.StatusForbidden
	case KindNotFound:
		return http.StatusNotFound
	case KindConflict:
		return http.StatusConflict
	case KindTimeout:
		return http.StatusGatewayTimeout
	case KindUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// KindOf is the kind that an HTTP status of 400 or more tells.
func KindOf(status int) Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return KindDenied
	case http.StatusNotFound, http.StatusGone:
		return KindNotFound
	case http.StatusUnprocessableEntity:
		return KindTopology
	case http.StatusConflict:
		return KindConflict
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return KindTimeout
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return KindUnavailable
	}
	if status < http.StatusInternalServerError {
		return KindInvalid
	}
	return KindFailed
}

// ErrorAnswer is the envelope of an Error.
type ErrorAnswer struct {
	Error *Error `json:"error"`
}
