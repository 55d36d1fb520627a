package topology

// Secret is a value that a process is given as a file, and that nobody else is told. Either File or Env is set.
type Secret struct {
	Name string // of the file it is given
	File string // absolute path of the file that holds it
	Env  string // name of the variable of dsatd's own environment that holds it
}

func secretKeys() *key {
	const source = "source"
	return &key{name: "secrets", own: true, aka: []string{"secret", "credentials", "load_credential"}, kind: entriesKind{
		make: func(name string) any { return &Secret{Name: name} },
		add:  func(o, e any) { s := o.(*Satellite); s.Secrets = append(s.Secrets, e.(*Secret)) },
		list: func(o any) []entry {
			return entriesOf(o.(*Satellite).Secrets, func(c *Secret) string { return c.Name })
		},
	}, doc: "Values it is given as files that only it can read, in the directory that CREDENTIALS_DIRECTORY and DSAT_SECRETS name: secrets.db = { file = \"/etc/keys/db\" } is read from $CREDENTIALS_DIRECTORY/db. They are read anew at each start, kept in memory where the machine has a tmpfs, " +
		"removed when nothing is left of the process, and never in an environment, a command line, a log, `check --effective` or the API.",
		each: &key{name: "*", kind: tableKind{}, short: "file", doc: "A secret.", keys: []*key{
			{name: "file", kind: pathKind{}, group: source, aka: []string{"path"}, doc: "A file that holds the value, as it is. Others than its owner and group must not be able to read it, nor the group to write it.",
				field: on(func(s *Secret) any { return &s.File }), dropped: func(_, v any) bool { return v == "" }},
			{name: "env", kind: variableKind{}, group: source, aka: []string{"variable"}, doc: "The name of a variable of dsatd's own environment. `env_inherit` does not pass it on.",
				field: on(func(s *Secret) any { return &s.Env }), dropped: func(_, v any) bool { return v == "" }},
		}},
	}
}

// secrets checks that each has a source.
func (r *rules) secrets(s *Satellite, said *setting) {
	for _, c := range s.Secrets {
		f := said.find("secrets").find(c.Name)
		if f.find("file") == nil && f.find("env") == nil {
			r.add(orElse(f, said).pos, `say file = "PATH" or env = "NAME"`, "the secret %s comes from nowhere", c.Name)
		}
	}
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
