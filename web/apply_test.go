package web

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/dsat/dsat/web/control"
)

// still changes nothing.
type still struct{}

func (still) Plan(_ context.Context, what control.ChangeRequest) (*control.Plan, error) {
	return &control.Plan{Changes: len(what.Edits), Satellites: []control.Planned{}}, nil
}

func (still) Apply(context.Context, control.ChangeRequest) (*control.Applied, error) {
	return nil, &control.Error{Kind: control.KindTopology, Message: "cannot take this topology"}
}

func (still) Config(names string) ([]control.Setting, error) {
	return []control.Setting{{Satellite: names, Key: "k", Value: "1", Origin: "default"}}, nil
}
func (still) Runtime() control.Runtime { return control.Runtime{TOML: "x"} }

func TestChangesOverTheWire(t *testing.T) {
	h := lived(t, stage)
	for body, want := range map[string]int{
		`{"edits":[{"op":"set","satellite":"echo","key":"k","value":"1"}]}`: http.StatusOK, "": http.StatusOK,
		"{": http.StatusBadRequest, `{"edits":1}`: http.StatusBadRequest, `{"files":["` + strings.Repeat("x", maxChange) + `"]}`: http.StatusBadRequest,
	} {
		if got := h.ask("unix", "POST /v1/plan", body); got.status != want {
			t.Errorf("%.40q: %d %s", body, got.status, got.body)
		}
	}
	if got := h.ask("unix", "POST /v1/apply", "{}"); got.status != http.StatusUnprocessableEntity || got.kind() != control.KindTopology {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := h.ask("unix", "GET /v1/config/echo", ""); !strings.Contains(got.body, `"satellite":"echo"`) {
		t.Errorf("%s", got.body)
	}
	if got := h.ask("unix", "GET /v1/runtime", ""); !strings.Contains(got.body, `"toml":"x"`) {
		t.Errorf("%s", got.body)
	}
}
