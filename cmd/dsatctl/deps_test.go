package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// dsatctl starts in milliseconds and runs everywhere because it links little: no cgo, no gRPC, no Prometheus, no ZeroMQ.
func TestDependencies(t *testing.T) {
	allowed := []string{
		"github.com/dsat/dsat/cmd/dsatctl",
		"github.com/dsat/dsat/bus/codec", // `decode` reads payloads, frames and vectors where no daemon runs
		"github.com/dsat/dsat/bus/v1",
		"github.com/dsat/dsat/bus/wire",
		"github.com/fxamacker/cbor/v2",
		"github.com/x448/float16",
		"github.com/dsat/dsat/bus/journal", // `journal verify DIRECTORY` needs no daemon; it is the standard library and x/sys
		"github.com/dsat/dsat/web/control",
		"github.com/spf13/cobra",
		"github.com/spf13/pflag",
		"golang.org/x/sys/unix",
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}} {{len .CgoFiles}}{{end}}", ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		path, cgo, _ := strings.Cut(strings.TrimSpace(line), " ")
		got[path] = true
		if cgo != "0" {
			t.Errorf("%s uses cgo", path)
		}
	}
	for _, path := range allowed {
		if !got[path] {
			t.Errorf("%s is not imported any more: take it from this list", path)
		}
		delete(got, path)
	}
	for path := range got {
		t.Errorf("%s is imported: dsatctl is to stay lean", path)
	}
}
