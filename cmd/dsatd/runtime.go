package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// edit is one change at run time.
func edit(o topology.Overlay, now *topology.Loaded, e control.Edit) (topology.Overlay, error) {
	exists := now.Satellite(e.Satellite) != nil
	if isLinkEdit(e.Op) {
		return editLinks(o, now, e)
	}
	switch e.Op {
	case "set":
		if !exists && !o.Has(e.Satellite, "") {
			return o, refusal(control.KindNotFound, "cannot set %s of %q: no satellite has this name; `dsatctl add` adds one", e.Key, e.Satellite)
		}
		return edited(o.With(e.Satellite, e.Key, e.Value))
	case "unset":
		if !o.Has(e.Satellite, e.Key) {
			return o, refusal(control.KindNotFound, "cannot unset %s.%s: it was not set at run time", e.Satellite, e.Key)
		}
		return o.Without(e.Satellite, e.Key), nil
	case "add":
		if exists {
			return o, refusal(control.KindConflict, "cannot add %s: there is a satellite of this name; `dsatctl config set` changes it", e.Satellite)
		}
		return edited(o.With(e.Satellite, e.Key, e.Value))
	case "remove":
		if !exists {
			return o, refusal(control.KindNotFound, "cannot remove %q: no satellite has this name", e.Satellite)
		}
		return o.Remove(e.Satellite), nil
	case "file":
		if !filepath.IsAbs(e.Value) {
			return o, refusal(control.KindInvalid, "cannot add %q: want the absolute path of a file", e.Value)
		}
		if !slices.Contains(o.Files, e.Value) {
			o.Files = append(slices.Clone(o.Files), e.Value)
		}
		return o, nil
	}
	return o, refusal(control.KindInvalid, "cannot %q: want set, unset, add, remove, file, link, unlink, move, mirror, unmirror or relink", e.Op)
}

func edited(o topology.Overlay, err error) (topology.Overlay, error) {
	if err != nil {
		return o, refusal(control.KindInvalid, "%v", err)
	}
	return o, nil
}

// runtimeName is the file of the run directory that keeps what was changed at run time for the next dsatd, should this one be killed.
const runtimeName = "runtime.json"

func saveRuntime(runDir string, o topology.Overlay) error {
	path := filepath.Join(runDir, runtimeName)
	if o.Empty() {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return replaceFile(path, string(text)+"\n")
}

// loadRuntime is what was changed at run time under a dsatd that was killed; after one that ended as asked it is empty.
func loadRuntime(runDir string) (topology.Overlay, error) {
	var o topology.Overlay
	text, err := os.ReadFile(filepath.Join(runDir, runtimeName))
	if errors.Is(err, os.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	return o, err
}
