package topology

import "strings"

// word is one word of a command line and where it began.
type word struct {
	text string
	off  int
}

const shellHint = `there is no shell here: quote it if the program shall see it, or say command = ["sh", "-c", "..."]`

// words splits a command without a shell. Blanks separate; '...' is taken as it is; in "..." a backslash stands before
// ", \, $ and `; elsewhere before anything. What a shell would act on is a mistake, because nobody will. ${...} is kept
// whole and a \$ becomes $$, for expand comes after.
func words(s string) ([]word, *flaw) {
	var out []word
	for i := 0; i < len(s); {
		if strings.IndexByte(" \t\r\n", s[i]) >= 0 {
			i++
			continue
		}
		text, end, f := oneWord(s, i)
		if f != nil {
			return nil, f
		}
		out = append(out, word{text, i})
		i = end
	}
	if len(out) == 0 {
		return nil, &flaw{0, "the command is empty", "name a program"}
	}
	return out, nil
}

func oneWord(s string, start int) (text string, end int, f *flaw) {
	var b strings.Builder
	i := start
	for i < len(s) && strings.IndexByte(" \t\r\n", s[i]) < 0 {
		switch c := s[i]; {
		case c == '\'':
			n := strings.IndexByte(s[i+1:], '\'')
			if n < 0 {
				return "", 0, &flaw{i, "the quote ' that begins here is never closed", `write \' for the character itself`}
			}
			b.WriteString(s[i+1 : i+1+n])
			i += n + 2
		case c == '"':
			if i, f = doubleQuoted(s, i, &b); f != nil {
				return "", 0, f
			}
		case c == '\\':
			if i+1 == len(s) {
				return "", 0, &flaw{i, "the command ends with a backslash", `write \\ for the character itself`}
			}
			i = escaped(s, i, &b)
		case strings.HasPrefix(s[i:], "${"):
			n := strings.IndexByte(s[i:], '}')
			if n < 0 {
				return "", 0, &flaw{i, "${ is never closed with }", "write $${ for the characters themselves"}
			}
			b.WriteString(s[i : i+n+1])
			i += n + 1
		case strings.HasPrefix(s[i:], "$$"):
			b.WriteString("$$")
			i += 2
		default:
			if f := shellish(s, i); f != nil {
				return "", 0, f
			}
			b.WriteByte(c)
			i++
		}
	}
	return b.String(), i, nil
}

// doubleQuoted appends what is between the quotes and returns the offset after them.
func doubleQuoted(s string, start int, b *strings.Builder) (int, *flaw) {
	for i := start + 1; i < len(s); {
		switch {
		case s[i] == '"':
			return i + 1, nil
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`", s[i+1]) >= 0:
			i = escaped(s, i, b)
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	return 0, &flaw{start, `the quote " that begins here is never closed`, `write \" for the character itself`}
}

func escaped(s string, i int, b *strings.Builder) int {
	if s[i+1] == '$' {
		b.WriteByte('$')
	}
	b.WriteByte(s[i+1])
	return i + 2
}

// shellish refuses what only a shell understands.
func shellish(s string, i int) *flaw {
	switch {
	case s[i] == '|':
		return &flaw{i, "a | means nothing without a shell", `make each program a satellite and link them with to, or say command = ["sh", "-c", "..."]`}
	case s[i] == '>' || s[i] == '<':
		return &flaw{i, "a " + s[i:i+1] + " means nothing without a shell", `output is captured, see log; else say command = ["sh", "-c", "..."]`}
	case s[i] == '&':
		return &flaw{i, "a & means nothing without a shell", `a satellite stays in the foreground; else say command = ["sh", "-c", "..."]`}
	case s[i] == ';' || s[i] == '`':
		return &flaw{i, "a " + s[i:i+1] + " means nothing without a shell", shellHint}
	case strings.HasPrefix(s[i:], "$("):
		return &flaw{i, "$( means nothing without a shell", shellHint}
	}
	return nil
}

// program checks the first word: what a shell would have done to it, nobody does.
func program(w word) *flaw {
	name, _, assigned := strings.Cut(w.text, "=")
	switch {
	case w.text == "":
		return &flaw{w.off, "the command names no program", "the first word is the program"}
	case assigned && variableName(name):
		return &flaw{w.off, "the command begins with a variable, not a program", "say env = { " + shorten(name) + ` = "..." }`}
	case strings.HasPrefix(w.text, "~"):
		return &flaw{w.off, "a ~ means nothing without a shell", "write ${HOME}"}
	}
	return nil
}
