package supervisor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dsat/dsat/topology"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// inherited is what children get of the daemon's own environment.
func inherited() []string {
	var env []string
	for _, key := range []string{"PATH", "HOME", "USER", "LANG", "TZ"} {
		v, ok := os.LookupEnv(key)
		if key == "PATH" && v == "" {
			v, ok = defaultPath, true
		}
		if ok {
			env = append(env, key+"="+v)
		}
	}
	return env
}

// environment is what one instance sees, without incarnation and bus. Later entries win in the child, so equal keys are replaced.
func (s *Supervisor) environment(t *topology.Satellite, wid int, who identity, here filling) ([]string, error) {
	env := slices.Clone(s.inherited)
	if len(t.EnvInherit) > 0 {
		hidden := secretNames(s.roster().topology)
		own := slices.DeleteFunc(os.Environ(), func(kv string) bool { name, _, _ := strings.Cut(kv, "="); return hidden[name] })
		env = passOn(env, own, t.EnvInherit)
	}
	if who.name != "" {
		env = setenv(setenv(setenv(env, "HOME", who.home), "USER", who.name), "LOGNAME", who.name)
	}
	for _, name := range t.EnvFile {
		file := here.Replace(name)
		if !filepath.IsAbs(file) {
			file = filepath.Join(s.roster().topology.Dir, file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read the env file %s: %w", file, cause(err))
		}
		pairs, err := parseEnv(text)
		if err != nil {
			return nil, fmt.Errorf("cannot read the env file %s: %w", file, err)
		}
		for _, p := range pairs {
			env = setenv(env, p[0], here.Replace(p[1]))
		}
	}
	for key, v := range t.Env {
		env = setenv(env, key, here.Replace(v))
	}
	ref := topology.Ref{Name: t.Name, WID: wid}
	for _, p := range [][2]string{{"DSAT_NAME", t.Name}, {"DSAT_WID", fmt.Sprint(wid)}, {"DSAT_INSTANCE", ref.String()}} {
		env = setenv(env, p[0], p[1])
	}
	env = s.about(env)
	options := []byte("{}")
	if len(t.Options) > 0 {
		var err error
		if options, err = json.Marshal(t.Options); err != nil {
			return nil, fmt.Errorf("cannot hand the options to %s: %w", ref, err)
		}
	}
	return setenv(env, "DSAT_OPTIONS", s.hereInJSON(t, wid).Replace(string(options))), nil
}

// about tells of this dsatd.
func (s *Supervisor) about(env []string) []string {
	for _, p := range [][2]string{{"DSAT_RUN", s.runDir}, {"DSAT_TOPOLOGY", s.roster().topology.Name}, {"DSAT_DIR", s.roster().topology.Dir}} {
		env = setenv(env, p[0], p[1])
	}
	return env
}

// passOn adds those of the daemon's own variables that are named; a star at the end of a name stands for any rest. What is dsat's own
// belongs to another daemon, above this one.
func passOn(env, own, names []string) []string {
	for _, kv := range own {
		key, value, _ := strings.Cut(kv, "=")
		if key == "" || strings.HasPrefix(key, "DSAT_") || strings.HasPrefix(key, "LISTEN_") {
			continue
		}
		for _, name := range names {
			if prefix, any := strings.CutSuffix(name, "*"); key == name || any && strings.HasPrefix(key, prefix) {
				env = setenv(env, key, value)
				break
			}
		}
	}
	return env
}

func setenv(env []string, key, value string) []string {
	for i, kv := range env {
		if len(kv) > len(key) && kv[len(key)] == '=' && kv[:len(key)] == key {
			env[i] = key + "=" + value
			return env
		}
	}
	return append(env, key+"="+value)
}

// parseEnv reads KEY=VALUE lines. Empty lines and those that begin with # are skipped, "export " before the key is allowed, and
// one pair of quotes around the value is taken away. Nothing is expanded.
func parseEnv(text []byte) ([][2]string, error) {
	var pairs [][2]string
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	n := 0
	for line := range bytes.Lines(text) {
		n++
		entry := strings.TrimSpace(string(line))
		if entry == "" || entry[0] == '#' {
			continue
		}
		entry = strings.TrimPrefix(entry, "export ")
		key, value, ok := strings.Cut(entry, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok:
			return nil, fmt.Errorf("line %d: want KEY=VALUE", n)
		case key == "" || strings.ContainsAny(key, " \t\"'"):
			return nil, fmt.Errorf("line %d: %q is no name of a variable", n, key)
		case strings.ContainsRune(key+value, 0):
			return nil, fmt.Errorf("line %d: holds a NUL byte", n)
		}
		if k := len(value); k >= 2 && (value[0] == '"' || value[0] == '\'') && value[k-1] == value[0] {
			value = value[1 : k-1]
		}
		pairs = append(pairs, [2]string{key, value})
	}
	return pairs, nil
}
