package topology

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Origin is one key of a satellite, its value, and where that comes from.
type Origin struct {
	Key   string // path within the satellite
	Value string // TOML
	From  string // "FILE:LINE", with "[defaults]" behind it; "run time"; "default"; "default, from other keys"
}

// RunTime is the Origin.From of what was set at run time.
const RunTime = "run time"

// Loaded is a topology with what is known of where it comes from.
type Loaded struct {
	*Topology
	origins map[string][]Origin
}

// Origins are the keys of a satellite in the order of the schema; nil for a name it does not have.
func (l *Loaded) Origins(name string) []Origin { return l.origins[name] }

// LoadWith is Load, with an overlay over the files, and tells where values come from.
func LoadWith(files []string, over Overlay, opt Options) (*Loaded, error) {
	l := newLoader(opt)
	merged := l.files(append(slices.Clone(files), over.Files...))
	if len(l.sources) > 0 && !over.Empty() {
		merged = l.overlay(merged, over)
	}
	t, said, err := l.finish(merged)
	if err != nil {
		return nil, err
	}
	out := &Loaded{t, make(map[string][]Origin, len(t.Satellites))}
	keys := l.root.find("satellite").each.keys
	for _, s := range t.Satellites {
		out.origins[s.Name] = origins(keys, said[s.Name], s, "")
	}
	return out, nil
}

// overlay lays what was set at run time over what the files say, and takes away what was removed.
func (l *loader) overlay(merged *setting, over Overlay) *setting {
	if len(over.Set) > 0 {
		// Relative paths are seen from the first file.
		path := filepath.Join(filepath.Dir(l.sources[0].path), RunTime)
		src := newSource(RunTime, path, len(l.sources), []byte(over.TOML()))
		n, err := parse(src)
		if err != nil {
			l.problems.add(place{src, 0}, "", "cannot be read: %v", err)
			return merged
		}
		r := &reader{src: src, problems: &l.problems, getenv: l.opt.Getenv, builtins: l.opt.Builtins, condition: l.opt.Condition}
		merged = merge(merged, r.table(l.root, n))
	}
	if declared := merged.find("satellite"); declared != nil && len(over.Removed) > 0 {
		kept := *declared
		kept.fields = slices.DeleteFunc(slices.Clone(declared.fields), func(f *setting) bool { return slices.Contains(over.Removed, f.name) })
		out := *merged
		out.fields = slices.Clone(merged.fields)
		out.fields[slices.Index(out.fields, declared)] = &kept
		merged = &out
	}
	return merged
}

// origins walks the keys as the effective file does, beside what was said.
func origins(keys []*key, said *setting, owner any, prefix string) []Origin {
	var out []Origin
	for _, k := range keys {
		if k.later || k.applies != nil && k.applies(owner) != "" {
			continue
		}
		given := said.find(k.name)
		switch kind := k.kind.(type) {
		case tableKind:
			out = append(out, origins(k.keys, given, owner, prefix+k.name+".")...)
		case entriesKind:
			for _, e := range kind.list(owner) {
				out = append(out, origins(k.each.keys, given.find(e.name), e.of, prefix+k.name+"."+e.name+".")...)
			}
		default:
			if v, ok := render(k, owner); ok {
				out = append(out, Origin{prefix + k.name, v, k.from(given)})
			}
		}
	}
	return out
}

func (k *key) from(given *setting) string {
	switch {
	case given == nil && k.derive != nil:
		return "default, from other keys"
	case given == nil:
		return "default"
	case given.at.src.shown == RunTime:
		return RunTime
	}
	line, _, _, _ := given.at.src.locate(given.at.off)
	from := fmt.Sprintf("%s:%d", given.at.src.shown, line)
	if given.inherited {
		from += " [defaults]"
	}
	return from
}
