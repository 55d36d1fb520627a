package web

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/web/control"
)

func apiPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRoutesAreDocumented(t *testing.T) {
	var documented, served []string
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:GET|POST) [^`]+)` \\| (\\w+) \\|").FindAllStringSubmatch(apiPage(t), -1) {
		documented = append(documented, m[1]+" "+m[2])
	}
	names := map[access]string{accessRead: "read", accessSend: "send", accessOperate: "operate"}
	for _, r := range built(t, quiet).routes() {
		served = append(served, strings.TrimSuffix(r.pattern, "{$}")+" "+names[r.need])
	}
	if diff := cmp.Diff(served, documented); diff != "" {
		t.Errorf("the table of docs/api.md is not routes():\n%s", diff)
	}
}

func TestKindsOfErrorsAreDocumented(t *testing.T) {
	statuses := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d{3})").FindAllStringSubmatch(apiPage(t), -1) {
		statuses[m[1]] = m[2]
	}
	want := map[string]string{}
	for status, kind := range map[string]control.Kind{
		"400": control.KindInvalid, "422": control.KindTopology, "403": control.KindDenied, "404": control.KindNotFound, "409": control.KindConflict,
		"504": control.KindTimeout, "503": control.KindUnavailable, "500": control.KindFailed,
	} {
		want[string(kind)] = status
	}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Error(diff)
	}
}
