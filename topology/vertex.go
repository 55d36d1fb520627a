package topology

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dsat/dsat/bus/v1"
)

// FromDSAT writes a topology from the two files of DSAT 0.6: vertex.json, whose cnx has the links, and the file of Circus that its
// circus_cfg names, whose [watcher:NAME] sections have the processes; read opens the latter. folder is where vertex.json stands. The text
// is to be looked through: what could not be decided stands in comments that begin with "look:".
func FromDSAT(vertex []byte, folder string, read func(path string) ([]byte, error)) ([]byte, error) {
	var v dsatVertex
	if err := v.parse(vertex); err != nil {
		return nil, err
	}
	path := v.circus
	if !filepath.IsAbs(path) {
		path = filepath.Join(folder, path)
	}
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the file of Circus that vertex.json names: %w", err)
	}
	watchers, err := parseCircus(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", v.circus, err)
	}
	c := &conversion{v: &v, watchers: watchers}
	return c.write(), nil
}

// dsatVertex is what concerns us of a vertex.json.
type dsatVertex struct {
	where, circus string
	links         []string // names, sorted
	cnx           map[string]string
	all           map[string]string // values that templates can name
}

func (v *dsatVertex) parse(text []byte) error {
	var raw map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		return fmt.Errorf("cannot read vertex.json: %w", err)
	}
	cnx, ok := raw["cnx"].(map[string]any)
	if !ok || len(cnx) == 0 {
		return fmt.Errorf(`cannot read vertex.json: it has no links: "cnx" is missing or empty`)
	}
	v.cnx, v.all = map[string]string{}, map[string]string{}
	for name, endpoint := range cnx {
		s, ok := endpoint.(string)
		if !ok {
			return fmt.Errorf("cannot read vertex.json: the endpoint of %.60q in cnx is no string", name)
		}
		v.cnx[name] = s
	}
	v.links = slices.Sorted(maps.Keys(v.cnx))
	for name, value := range raw {
		switch value := value.(type) {
		case string:
			v.all[name] = value
		case json.Number:
			v.all[name] = value.String()
		}
	}
	v.where, v.circus = v.all["where"], v.all["circus_cfg"]
	if v.circus == "" {
		v.circus = "circus.ini" // DSAT's default
	}
	return nil
}

// watcher is a section of Circus.
type watcher struct {
	name     string
	keys     map[string]string
	priority int
}

// parseCircus reads the [watcher:NAME] sections, in the order in which Circus starts them: by falling priority, then as they stand.
func parseCircus(text []byte) ([]*watcher, error) {
	var all []*watcher
	var here *watcher
	last := ""
	for n, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case trimmed[0] == '[':
			section, _, closed := strings.Cut(trimmed[1:], "]")
			if !closed {
				return nil, fmt.Errorf("line %d: a section is not closed: %.60q", n+1, trimmed)
			}
			here, last = nil, ""
			if name, is := strings.CutPrefix(section, "watcher:"); is {
				here = &watcher{name: strings.TrimSpace(name), keys: map[string]string{}}
				all = append(all, here)
			}
		case (line[0] == ' ' || line[0] == '\t') && last != "" && here != nil:
			here.keys[last] += " " + trimmed
		default:
			i := strings.IndexAny(trimmed, "=:")
			if i < 0 {
				return nil, fmt.Errorf("line %d: it is no key = value: %.60q", n+1, trimmed)
			}
			if last = strings.ToLower(strings.TrimSpace(trimmed[:i])); here != nil {
				here.keys[last] = strings.TrimSpace(trimmed[i+1:])
			}
		}
	}
	for _, w := range all {
		w.priority, _ = strconv.Atoi(w.keys["priority"])
	}
	slices.SortStableFunc(all, func(a, b *watcher) int { return b.priority - a.priority })
	return all, nil
}

func (w *watcher) yes(key string) bool {
	switch strings.ToLower(w.keys[key]) {
	case "true", "1", "yes", "on":
		return true
	}
	return false
}

// conversion writes.
type conversion struct {
	v        *dsatVertex
	watchers []*watcher
	b        strings.Builder
}

func (c *conversion) printf(format string, args ...any) { fmt.Fprintf(&c.b, format, args...) }

// look writes what somebody has to decide.
func (c *conversion) look(text string) { c.printf("# look: %s\n", sentence(text)) }

func (c *conversion) watcher(name string) *watcher {
	for _, w := range c.watchers {
		if w.name == name {
			return w
		}
	}
	return nil
}

var percentName = regexp.MustCompile(`%\(([^)]*)\)`)

// ranByDSAT are the processes that dsatd is itself.
var ranByDSAT = []string{v1.Orchester, v1.Tracker}

func (c *conversion) write() []byte {
	c.printf("# Written from vertex.json and what Circus had of it. dsatd is orchester, tracker and Circus; docs/legacy.md tells the rest.\n# Look it through, then: dsatd check\n\ndsat = 1\n\n[bus.v1]\n")
	where := c.v.where
	if where == "" {
		c.look(`vertex.json has no "where": DSAT then takes the name of the host, and its samples write localhost`)
		where = "localhost"
	}
	c.printf("where = %s\n", quote(where, true))
	if used := c.used(); len(used) > 0 {
		c.printf("variables = %s\n", inlineTable(used, func(s string) string { return quote(s, true) }))
	}
	c.printf("\n[bus.v1.links]\n")
	for _, name := range c.v.links {
		c.link(name)
	}
	written := map[string]bool{}
	for _, w := range c.watchers {
		name := strings.ToLower(w.name)
		switch {
		case slices.Contains(ranByDSAT, w.name):
		case written[name]:
			c.printf("\n")
			c.look("another watcher is called " + w.name + ": it is left out")
		default:
			c.satellite(w, name)
		}
		written[name] = true
	}
	return []byte(c.b.String())
}

// used is the variables that links name, and that have a value.
func (c *conversion) used() map[string]string {
	out := map[string]string{}
	for _, endpoint := range c.v.cnx {
		for _, m := range percentName.FindAllStringSubmatch(endpoint, -1) {
			if value, ok := c.v.all[m[1]]; ok {
				out[m[1]] = value
			}
		}
	}
	if _, given := out["ext_ip"]; !given && c.names("ext_ip") {
		out["ext_ip"] = "127.0.0.1"
	}
	return out
}

func (c *conversion) names(variable string) bool {
	for _, endpoint := range c.v.cnx {
		if strings.Contains(endpoint, "%("+variable+")") {
			return true
		}
	}
	return false
}

// link writes one link. A name of DSAT 0.5, all in lower case, says nothing of who binds: there it was the orchester towards workers, and
// singletons for what comes to them.
func (c *conversion) link(name string) {
	text := name
	link, flaw := v1.ParseLink(name)
	if flaw == nil && !link.SrcBinds && !link.DstBinds {
		switch {
		case link.Src == v1.Any, c.watcher(link.Dst) != nil && c.watcher(link.Dst).yes("singleton"):
			link.DstBinds = true
		case link.Src == v1.Orchester && link.Scheme == "PUSH", link.Src == v1.Tracker:
			link.SrcBinds = true
		}
		text = link.String()
	}
	switch {
	case flaw != nil:
		c.look(flaw.Text)
	case text != name:
		c.printf("# %s: all in lower case, as DSAT 0.5 has it, where %s bound it\n", name, link.Binder())
	}
	c.printf("%s = %s\n", keyText(text), quote(c.v.cnx[name], true))
}

// wid is what Circus replaces.
var wid = regexp.MustCompile(`(?i)\$\(circus\.wid\)|\(\(circus\.wid\)\)`)

func (c *conversion) satellite(w *watcher, name string) {
	c.printf("\n[satellite.%s]\n", keyText(name))
	if name != w.name {
		c.look("it was called " + w.name + ", and names are in lower case here")
	}
	command := strings.TrimSpace(w.keys["cmd"]) + " " + strings.TrimSpace(w.keys["args"])
	c.printf("command = %s\n", quote(strings.TrimSpace(wid.ReplaceAllLiteralString(command, placeholder)), true))
	if c.linked(w.name) {
		c.printf("speaks  = \"v1\"\n")
	} else {
		c.look("no link names it; it speaks v1 if it gives orders")
		c.printf("speaks  = \"v1\"\n")
	}
	if to := c.to(w.name); len(to) > 0 {
		c.printf("to = %s\n", anyValue(to))
	}
	if n, err := strconv.Atoi(w.keys["numprocesses"]); err == nil && n != 1 {
		c.printf("instances = %d\n", n)
	}
	if d := w.keys["working_dir"]; d != "" {
		c.printf("cwd = %s\n", quote(d, false))
	}
	if w.yes("copy_env") {
		c.printf("env_inherit = [\"*\"]\n")
	}
	for _, key := range slices.Sorted(maps.Keys(w.keys)) {
		if !slices.Contains([]string{"cmd", "args", "numprocesses", "working_dir", "copy_env", "singleton", "priority", "warmup_delay"}, key) {
			c.look(key + " = " + w.keys[key])
		}
	}
}

// linked reports whether a link names it.
func (c *conversion) linked(name string) bool {
	return slices.ContainsFunc(c.v.links, func(l string) bool {
		link, flaw := v1.ParseLink(l)
		return flaw == nil && (link.Src == name || link.Dst == name)
	})
}

// to is the satellites it sends to by links of its own.
func (c *conversion) to(name string) (to []any) {
	for _, l := range c.v.links {
		link, flaw := v1.ParseLink(l)
		if flaw == nil && link.From() == name && !link.Scheme.TwoWay() && !slices.Contains(ranByDSAT, link.To()) && c.watcher(link.To()) != nil {
			to = append(to, link.To())
		}
	}
	return to
}
