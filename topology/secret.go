package topology

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Secret is a value that processes are given, and that nobody else is told. One of File, Env and Command is set.
type Secret struct {
	Name     string
	File     string        // absolute path of the file that holds it; may hold ${instance}
	Env      string        // name of the variable of dsatd's own environment that holds it
	Command  []string      // argv of a program that prints it; may hold ${instance}
	Deadline time.Duration // of Command
}

// SecretGrant is a secret that a satellite is given, under a name of its own.
type SecretGrant struct {
	As     string // name of its file, and in ${secret.NAME.fd}
	Secret string
}

// Secret returns the secret of that name, or nil.
func (t *Topology) Secret(name string) *Secret {
	for _, s := range t.Secrets {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// SecretPlaceholder is what stands in strings until an instance is started. As is the name the satellite has for the secret.
func SecretPlaceholder(as string) string { return "${secret." + as + ".fd}" }

// ByDescriptor reports whether a granted secret comes as a descriptor, because its command, env or options name that; else it comes
// as a file.
func (s *Satellite) ByDescriptor(g SecretGrant) bool {
	mark := SecretPlaceholder(g.As)
	has := func(text string) bool { return strings.Contains(text, mark) }
	return slices.ContainsFunc(s.Command, has) || slices.ContainsFunc(slices.Collect(maps.Values(s.Env)), has) || len(s.Options) > 0 && has(fmt.Sprint(s.Options))
}

const secretName = `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`

var (
	secretPattern     = regexp.MustCompile(`\$\{secret\.([^{}]*)\.fd\}`)
	secretNamePattern = regexp.MustCompile(`^` + secretName + `$`)
)

// secretVariable checks the inside of ${secret.NAME.fd}. Whether the satellite has that secret is for the rules to say.
func secretVariable(inner string) *flaw {
	name, fd := strings.CutSuffix(strings.TrimPrefix(inner, "secret."), ".fd")
	if fd && secretNamePattern.MatchString(name) {
		return nil
	}
	return &flaw{text: "${" + shorten(inner) + "} is no variable", hint: "write ${secret.NAME.fd}: a secret has a descriptor, and no text that could be put here"}
}

// secrets checks what each secret says by itself.
func (r *rules) secrets(declared *setting) {
	r.secret = map[string]*setting{}
	if declared == nil {
		return
	}
	for _, said := range declared.fields {
		r.secret[said.name] = said
		if !said.bad && said.find("file") == nil && said.find("env") == nil && said.find("command") == nil {
			r.add(said.at, `say file = "PATH", env = "NAME" or command = "PROGRAM"`, "the secret %s comes from nowhere", said.name)
		}
	}
	for _, c := range r.t.Secrets {
		for _, text := range append(slices.Clone(c.Command), c.File) {
			if socketPattern.MatchString(text) || secretPattern.MatchString(text) {
				r.add(r.secret[c.Name].pos, "", "where the secret %s comes from can hold ${instance} only", c.Name)
			}
		}
	}
}

// secretGrants checks what satellites say about secrets.
func (r *rules) secretGrants() {
	names := slices.Sorted(maps.Keys(r.secret))
	used := map[string]bool{}
	for _, s := range r.t.Satellites {
		said := r.said[s.Name]
		for i, g := range s.Secrets {
			used[g.Secret] = true
			if r.secret[g.Secret] == nil && !r.broken {
				r.add(said.find("secrets").item(i), didYouMean(g.Secret, names), "secrets names %q, and there is no [secrets.%s]", shorten(g.Secret), shorten(g.Secret))
			}
		}
		if f := said.find("secrets"); f == nil || !f.bad {
			r.secretPlaceholders(s, said)
		}
	}
	for _, c := range r.t.Secrets {
		if !used[c.Name] {
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("secret %s is granted to no satellite: secrets = %q in one grants it", c.Name, c.Name))
		}
	}
}

// secretPlaceholders checks that descriptors are named only where there are some.
func (r *rules) secretPlaceholders(s *Satellite, said *setting) {
	granted := func(as string) bool {
		return slices.ContainsFunc(s.Secrets, func(g SecretGrant) bool { return g.As == as })
	}
	allowed := func(key *setting, text string) {
		for _, m := range secretPattern.FindAllStringSubmatch(text, -1) {
			if !granted(m[1]) {
				r.add(orElse(key, said).pos, fmt.Sprintf("say secrets = [%q] in [satellite.%s]", m[1], s.Name), "%s has a value only in a satellite that is granted secret %s", m[0], m[1])
			}
		}
	}
	for _, word := range s.Command {
		allowed(said.find("command"), word)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		allowed(said.find("env").find(name), s.Env[name])
	}
	if len(s.Options) > 0 {
		allowed(said.find("options"), fmt.Sprint(s.Options))
	}
	refused := func(key *setting, texts ...string) {
		for _, text := range texts {
			if m := secretPattern.FindString(text); m != "" {
				r.add(orElse(key, said).pos, "what runs beside it finds the secret in $DSAT_SECRETS", "%s has a value in command, env and options only", m)
			}
		}
	}
	refused(said.find("stop").find("command"), s.Stop.Command...)
	refused(said.find("cwd"), s.Dir)
	refused(said.find("ready"), append(slices.Clone(s.Ready.Exec), s.Ready.TCP, s.Ready.Get, s.Ready.Unix, s.Ready.Path)...)
	for _, c := range s.Health {
		refused(said.find("health").find(c.Name), append(slices.Clone(c.Exec), c.Get, c.TCP, c.GRPC)...)
	}
	for kind, h := range s.Hooks {
		if h != nil {
			refused(said.find("hooks").find(HookKind(kind).String()), h.Command...)
		}
	}
	for name, h := range map[string]*TaskHook{"on_done": s.OnDone, "on_failed": s.OnFailed} {
		if h != nil {
			refused(said.find(name), h.Command...)
		}
	}
}

// resourced lists the granted secrets of a satellite that come from elsewhere now, as changes of the satellite: its processes have to be
// started anew to have the new value.
func (p *Plan) resourced(s *Satellite) []KeyChange {
	var out []KeyChange
	for _, g := range s.Secrets {
		old, now := p.Old.Secret(g.Secret), p.New.Secret(g.Secret)
		if old == nil || now == nil || reflect.DeepEqual(old, now) {
			continue
		}
		each := language().find("secrets").each.keys
		for _, c := range compare(leaves(each, old, ""), leaves(each, now, "")) {
			c.Key, c.Restart = "secrets."+g.Secret+"."+c.Key, c.Key != "deadline"
			out = append(out, c)
		}
	}
	return out
}

// allSecrets are those of New, and those of Old that it does not have: for the time in which both are in use.
func (p *Plan) allSecrets() []*Secret {
	out := slices.Clone(p.New.Secrets)
	for _, s := range p.Old.Secrets {
		if p.New.Secret(s.Name) == nil {
			out = append(out, s)
		}
	}
	return out
}
