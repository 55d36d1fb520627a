package topology

import (
	"strings"
	"time"
)

// secretsKey is [secrets.NAME].
func secretsKey() *key {
	const source = "source"
	return &key{name: "secrets", kind: entriesKind{
		make: func(name string) any { return &Secret{Name: name} },
		add:  func(o, e any) { t := o.(*Topology); t.Secrets = append(t.Secrets, e.(*Secret)) },
		list: func(o any) []entry { return entriesOf(o.(*Topology).Secrets, func(s *Secret) string { return s.Name }) },
	}, aka: []string{"secret", "credentials"},
		doc: "One table for each value that processes are given and nobody else is told: [secrets.NAME]. It is read anew at each start of a process, so that a new value needs a restart of those that have it and nothing else.",
		each: &key{name: "*", kind: tableKind{}, short: "file", doc: "A secret.", keys: []*key{
			{name: "file", kind: pathKind{instance: true}, group: source, aka: []string{"path"}, doc: "A file that holds the value, as it is. Others than its owner and group must not be able to read it, nor the group to write it. ${instance} is the number of the instance.",
				field: on(func(s *Secret) any { return &s.File }), dropped: func(_, v any) bool { return v == "" }},
			{name: "env", kind: variableKind{}, group: source, aka: []string{"variable", "environment"}, doc: "The name of a variable of dsatd's own environment. `env_inherit` does not pass it on.",
				field: on(func(s *Secret) any { return &s.Env }), dropped: func(_, v any) bool { return v == "" }},
			{name: "command", kind: commandKind{}, group: source, whole: true, aka: []string{"cmd", "exec", "run"}, doc: "A program that prints the value, written as the command of a satellite; a newline at its end does not count. It runs as dsatd's own user before the process is spawned, with DSAT_SECRET, DSAT_NAME and DSAT_WID. What it prints, errors too, is never logged. Another exit code than 0 is a failed start.",
				field: on(func(s *Secret) any { return &s.Command }), dropped: func(_, v any) bool { return len(v.([]string)) == 0 }},
			{name: "deadline", kind: durationKind{}, def: `"10s"`, min: int64(time.Millisecond), applies: whenFetched, aka: []string{"timeout"}, doc: "Then the command is killed, and the start has failed.",
				field: on(func(s *Secret) any { return &s.Deadline })},
		}},
	}
}

func whenFetched(o any) string {
	if len(o.(*Secret).Command) > 0 {
		return ""
	}
	return "is for a command"
}

// secretGrantsKey is the key of a satellite.
func secretGrantsKey() *key {
	return &key{name: "secrets", kind: secretGrantsKind{}, own: true, whole: true, aka: []string{"secret", "credentials", "load_credential"},
		doc: `Secrets it is given: a name, a list of names, or a table with its own names for them, { password = "db" }. Each is a file that only it can read, $CREDENTIALS_DIRECTORY/NAME ($DSAT_SECRETS/NAME is the same), in memory where the machine has a tmpfs; or, if its command, env or options hold ${secret.NAME.fd}, a descriptor of that number instead, to be read from its beginning. ` +
			"Removed when nothing is left of the process, and never in an environment, a command line, a log, `check --effective` or the API. Its stop command, health checks and later hooks find the files too.",
		field: sat(func(s *Satellite) any { return &s.Secrets }), dropped: func(_, v any) bool { return len(v.([]SecretGrant)) == 0 }}
}

// secretGrantsKind is a name, a list of names, or a table of own names.
type secretGrantsKind struct{}

func (secretGrantsKind) typ() string { return "name, list or table" }
func (secretGrantsKind) wants(*key) string {
	return `the name of a secret, a list of names, or a table like { password = "db" }`
}

func (t secretGrantsKind) read(r *reader, k *key, n *node) (any, bool) {
	if n.shape == shapeTable {
		return t.table(r, k, n)
	}
	texts, at, ok := r.strings(k, n, false)
	if !ok {
		return nil, false
	}
	var out []SecretGrant
	for i, name := range texts {
		ok = r.satelliteName(name, at[i].at) && ok
		out = append(out, SecretGrant{As: name, Secret: name})
	}
	r.distinct(k, texts, at)
	return out, ok
}

func (t secretGrantsKind) table(r *reader, k *key, n *node) (any, bool) {
	var out []SecretGrant
	ok := true
	for _, c := range n.fields {
		name, isText := c.scalar.(string)
		switch {
		case !secretNamePattern.MatchString(c.name):
			r.problem(c.key, "letters, digits, dot, - and _, beginning with a letter or digit, 63 at most", "%q is no name for a secret: it becomes that of a file", shorten(c.name))
		case !isText && c.shape == shapeTable:
			r.problem(c.at, "say [secrets."+shorten(c.name)+"] at the top of the file, and secrets = [\""+shorten(c.name)+"\"] here", "where a secret comes from is not said in a satellite")
		case !isText:
			r.problem(c.at, "", "%s wants %s, not %s", k.label, t.wants(k), c.what())
		case r.satelliteName(name, c.at):
			out = append(out, SecretGrant{As: c.name, Secret: name})
			continue
		}
		ok = false
	}
	return out, ok
}

func (secretGrantsKind) format(v any) string {
	var names, pairs []string
	plain := true
	for _, g := range v.([]SecretGrant) {
		plain = plain && g.As == g.Secret
		names, pairs = append(names, g.As), append(pairs, keyText(g.As)+" = "+quote(g.Secret, false))
	}
	if plain {
		return quoteAll(names, false)
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

func (secretGrantsKind) schema(*key) map[string]any {
	out := oneOrList()
	out["oneOf"] = append(out["oneOf"].([]any), map[string]any{"type": "object", "patternProperties": map[string]any{"^" + secretName + "$": map[string]any{"type": "string"}}, "additionalProperties": false})
	return out
}

// variableKind is the name of an environment variable.
type variableKind struct{ textKind }

func (variableKind) typ() string       { return "name" }
func (variableKind) wants(*key) string { return `the name of a variable like "DB_PASSWORD"` }
func (t variableKind) read(r *reader, k *key, n *node) (any, bool) {
	v, ok := t.textKind.read(r, k, n)
	if ok && !variableName(v.(string)) {
		r.problem(n.at, "letters, digits and _, not beginning with a digit", "%s: %q is no name of a variable", k.label, shorten(v.(string)))
		return nil, false
	}
	return v, ok
}
