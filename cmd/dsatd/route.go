package main

import (
	"strings"

	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// isLinkEdit reports whether an edit is one of links.
func isLinkEdit(op string) bool {
	switch op {
	case "link", "unlink", "move", "mirror", "unmirror", "relink":
		return true
	}
	return false
}

// editLinks is one change of a satellite's links at run time. It sets its `to` as a whole, made of what it is now.
func editLinks(o topology.Overlay, now *topology.Loaded, e control.Edit) (topology.Overlay, error) {
	s := now.Satellite(e.Satellite)
	if s == nil {
		return o, refusal(control.KindNotFound, "cannot change the links of %q: no satellite has this name", e.Satellite)
	}
	if e.Op == "relink" {
		if !o.Has(e.Satellite, "to") && !o.Has(e.Satellite, "route") {
			return o, refusal(control.KindNotFound, "cannot reset the links of %s: they were not changed at run time", e.Satellite)
		}
		return o.Without(e.Satellite, "to").Without(e.Satellite, "route"), nil
	}
	edit := s.EditLinks()
	link, option, _ := strings.Cut(e.Key, ".")
	if e.Op != "link" && !edit.Has(link) {
		return o, refusal(control.KindNotFound, "cannot %s the link to %q: %s has no such link; its links are %s", e.Op, link, e.Satellite, orNone(strings.Join(edit.Names(), ", ")))
	}
	var err error
	switch e.Op {
	case "link":
		err = edit.Set(link, option, e.Value)
	case "unlink":
		edit.Remove(link)
	case "move":
		percent := 100.0
		if e.Percent != nil {
			percent = *e.Percent
		}
		err = edit.Move(link, e.Value, percent)
	default:
		err = s.Mirror(edit, link, e.Value, e.Op == "mirror")
	}
	if err != nil {
		return o, refusal(control.KindInvalid, "%v", err)
	}
	return edited(o.With(e.Satellite, "to", edit.TOML()))
}
