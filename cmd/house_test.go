package cmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/dsat/dsat"

// mayImport is the house's law: imports go down only. A package may import those listed for the longest name that is its
// own or a parent's; what is not listed imports nothing of ours.
var mayImport = map[string][]string{
	"cmd/dsatd":         {"web", "web/control", "supervisor", "bus", "topology", "satellites"},
	"cmd/dsatctl":       {"web/control", "bus/journal", "bus/wire", "bus/codec", "bus/v1"}, // what is read where no daemon runs: a log, frames, payloads; all pure
	"cmd/dsat-ledger":   {},
	"cmd/dsat-bench":    {"web/control", "bus/wire", "satellites"},
	"web":               {"supervisor", "supervisor/logs", "bus", "bus/codec", "topology", "web/control"},
	"web/control":       {},
	"supervisor":        {"supervisor/logs", "topology"},
	"supervisor/logs":   {"topology"},
	"bus/rules":         {},
	"bus":               {"topology", "bus/rules", "bus/wire", "bus/plug", "bus/codec", "bus/v1", "bus/journal", "bus/streams"},
	"bus/codec":         {},
	"bus/wire":          {},
	"bus/journal":       {},
	"bus/streams":       {"bus/journal"},
	"bus/journal/frail": {"bus/journal"}, // a disk for tests
	"bus/plug":          {"bus/wire"},
	"bus/v1":            {},
	"topology":          {"bus/v1", "bus/codec"}, // the grammar of link names and the formats of payloads, which are pure, for `dsatd check`
	"satellites":        {"satellites", "bus/wire", "bus/plug"},
}

// goList asks the go command about packages, as built with cgo ("1") or without ("0").
func goList(t *testing.T, cgo, format string, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-f", format}, args...)...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestImportsGoDown(t *testing.T) {
	for _, line := range goList(t, "1", "{{.ImportPath}} {{join .Imports \" \"}}", "./...") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(strings.TrimPrefix(fields[0], module), "/")
		allowed, known := rule(pkg)
		if !known {
			if pkg != "cmd" {
				t.Errorf("package %s has no place in the house: give it one in mayImport and docs/ARCHITECTURE.md", pkg)
			}
			continue
		}
		for _, imported := range fields[1:] {
			ours, ok := strings.CutPrefix(imported, module+"/")
			if ok && !within(ours, allowed) {
				t.Errorf("%s imports %s, which the house does not allow", pkg, ours)
			}
		}
	}
}

// rule finds the longest entry of mayImport that is the package or a parent of it.
func rule(pkg string) ([]string, bool) {
	for p := pkg; p != "." && p != ""; p = filepath.Dir(p) {
		if allowed, ok := mayImport[p]; ok {
			return allowed, true
		}
	}
	return nil, false
}

// within says whether a package is listed; only satellites stands for its sub-packages too.
func within(pkg string, allowed []string) bool {
	return slices.Contains(allowed, pkg) || strings.HasPrefix(pkg, "satellites/") && slices.Contains(allowed, "satellites")
}

// dsatctl starts in a millisecond because of what it does not link.
func TestDsatctlIsLean(t *testing.T) {
	for _, dep := range goList(t, "0", "{{join .Deps \"\\n\"}}", "./cmd/dsatctl") {
		for _, heavy := range []string{"runtime/cgo", "google.golang.org/grpc", "github.com/prometheus", "github.com/pebbe"} {
			if strings.HasPrefix(dep, heavy) {
				t.Errorf("dsatctl links %s", dep)
			}
		}
	}
}

// Satellites need no libzmq: a program that imports the SDK builds without cgo.
func TestSatellitesNeedNoCgo(t *testing.T) {
	for _, dep := range goList(t, "0", "{{join .Deps \"\\n\"}}", "./satellites/...") {
		if strings.HasPrefix(dep, "github.com/pebbe") || strings.HasPrefix(dep, "github.com/prometheus") {
			t.Errorf("satellites link %s", dep)
		}
	}
}

// Documentation that names a file which is not there has gone stale.
func TestArchitectureNamesFilesThatExist(t *testing.T) {
	text, err := os.ReadFile("../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z0-9_./-]+\\.(?:go|py|toml|md|sh|html|json))`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 20 {
		t.Fatalf("only %d files are named; the pattern or the page is wrong", len(named))
	}
	for _, m := range named {
		if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
			t.Errorf("docs/ARCHITECTURE.md names %s: %v", m[1], err)
		}
	}
}
