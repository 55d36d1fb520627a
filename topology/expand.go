package topology

import (
	"strings"
	"unicode/utf8"
)

// placeholder stays in command, env, cwd, ready.tcp and ready.get until an instance is started and puts its number there.
const placeholder = "${instance}"

// flaw is a mistake inside a string.
type flaw struct {
	off  int // bytes from its beginning
	text string
	hint string
}

// expand replaces ${NAME} and ${NAME:-default} by the environment and $$ by a dollar. A dollar before anything but {, $, a
// letter or _ stays, so that regular expressions and awk's $1 need no care. With instance, ${instance} is kept.
func expand(s string, instance bool, getenv func(string) (string, bool)) (string, *flaw) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch c := s[i+1]; {
		case c == '$':
			if instance && filledLater(s[i+1:]) {
				return "", &flaw{i, "a literal ${instance}, ${socket.NAME.fd} or ${secret.NAME.fd} cannot be written here: dsat fills it in", ""}
			}
			b.WriteByte('$')
			i++
		case c == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return "", &flaw{i, "${ is never closed with }", "write $${ for the characters themselves"}
			}
			v, f := variable(s[i+2:i+end], instance, getenv)
			if f != nil {
				f.off = i
				return "", f
			}
			b.WriteString(v)
			i += end
		case c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			name := s[i+1:]
			if j := strings.IndexFunc(name, func(r rune) bool { return !nameRune(r) }); j >= 0 {
				name = name[:j]
			}
			name = shorten(name)
			return "", &flaw{i, "$" + name + " is not expanded", "write ${" + name + "} for the variable, $$" + name + " for the characters"}
		default:
			b.WriteByte('$')
		}
	}
	return b.String(), nil
}

// filledLater reports whether a text begins with what is filled in when an instance is started.
func filledLater(s string) bool {
	at := socketPattern.FindStringIndex(s)
	secret := secretPattern.FindStringIndex(s)
	return strings.HasPrefix(s, placeholder) || at != nil && at[0] == 0 || secret != nil && secret[0] == 0
}

func nameRune(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

func variable(inner string, instance bool, getenv func(string) (string, bool)) (string, *flaw) {
	if inner == "instance" {
		if instance {
			return placeholder, nil
		}
		return "", &flaw{text: "${instance} has a value in command, env, cwd, options, ready.tcp and ready.get only"}
	}
	if strings.HasPrefix(inner, "socket.") {
		if !instance {
			return "", &flaw{text: "${" + shorten(inner) + "} has a value in command, env, cwd, options, ready.tcp and ready.get only"}
		}
		return "${" + inner + "}", socketVariable(inner)
	}
	if strings.HasPrefix(inner, "secret.") {
		if !instance {
			return "", &flaw{text: "${" + shorten(inner) + "} has a value in command, env and options only"}
		}
		return "${" + inner + "}", secretVariable(inner)
	}
	name, fallback, has := strings.Cut(inner, ":-")
	if !variableName(name) {
		return "", &flaw{text: "${" + shorten(inner) + "} is no variable", hint: "write ${NAME} or ${NAME:-default}; $$ is a dollar"}
	}
	v, ok := getenv(name)
	switch {
	case has && v == "":
		return fallback, nil
	case !ok:
		return "", &flaw{text: "the variable " + shorten(name) + " is not set", hint: "set it, or write ${" + shorten(name) + ":-default}"}
	case !utf8.ValidString(v):
		return "", &flaw{text: "the value of the variable " + shorten(name) + " is not UTF-8"}
	}
	return v, nil
}

func variableName(s string) bool {
	return s != "" && !digit(s[0]) && strings.IndexFunc(s, func(r rune) bool { return !nameRune(r) }) < 0
}
