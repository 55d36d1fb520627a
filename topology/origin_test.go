package topology

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func loadWith(t *testing.T, text string, o Overlay) (*Loaded, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadWith([]string{path}, o, testOptions())
}

func origin(t *testing.T, l *Loaded, name, key string) Origin {
	t.Helper()
	for _, o := range l.Origins(name) {
		if o.Key == key {
			o.From = strings.TrimPrefix(o.From, l.Dir+"/")
			return o
		}
	}
	t.Fatalf("%s has no %s: %+v", name, key, l.Origins(name))
	return Origin{}
}

const originText = `[defaults]
stop = { deadline = "5s" }
[satellite.a]
command = "x"
restart = "never"
health = { web = { get = "http://127.0.0.1:1/" } }
[satellite.b]
command = "y"
needs = "a"
`

func TestOrigins(t *testing.T) {
	over, err := Overlay{}.With("a", "log.keep", "7")
	if err != nil {
		t.Fatal(err)
	}
	l, err := loadWith(t, originText, over)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][2]string{
		"command": {`["x"]`, "t.toml:4"}, "stop.deadline": {`"5s"`, "t.toml:2 [defaults]"}, "log.keep": {"7", RunTime}, "stop.signal": {`"TERM"`, "default, from other keys"},
		"restart.policy": {`"never"`, "t.toml:5"}, "instances": {"1", "default"}, "health.web.get": {`"http://127.0.0.1:1/"`, "t.toml:6"},
	} {
		if o := origin(t, l, "a", key); o.Value != want[0] || o.From != want[1] {
			t.Errorf("%s: %+v, want %v", key, o, want)
		}
	}
	if l.Origins("zzz") != nil {
		t.Error("a satellite that is not there has origins")
	}
}

// What was set at run time is checked as a file is, and a removed satellite is gone, with those that name it told.
func TestOverlays(t *testing.T) {
	for text, want := range map[string]string{"zzz=1": `unknown key "zzz"`, "stop.deadline=5": "wants a duration", "instances=two": "wants a whole number"} {
		key, value, _ := strings.Cut(text, "=")
		over, err := Overlay{}.With("a", key, value)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := loadWith(t, originText, over); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), RunTime+":2:") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := loadWith(t, originText, Overlay{}.Remove("a")); err == nil || !strings.Contains(err.Error(), "t.toml:9:9: needs names") {
		t.Error(err)
	}
	l, err := loadWith(t, originText, Overlay{}.Remove("b"))
	if err != nil || l.Satellite("b") != nil {
		t.Error(err)
	}
	over, err := Overlay{}.With("c", "command", "sleep 1 'a b'")
	if err != nil {
		t.Fatal(err)
	}
	if l, err = loadWith(t, originText, over); err != nil || l.Satellite("c") == nil || len(l.Satellite("c").Command) != 3 {
		t.Fatal(err)
	}
	if over = over.Remove("c"); len(over.Set) != 0 {
		t.Error(over)
	}
}

// Whatever a value is, it stays one value of one key.
func TestEditsCannotSmuggle(t *testing.T) {
	for _, value := range []string{"1\ncommand = 'rm'", "1\n[satellite.evil]\ncommand = 'rm'", "\"", "'''", "1 # ]", "x\ny", "$HOME", "", "a = 1", "\x00"} {
		over, err := Overlay{}.With("a", "env.A", value)
		if err != nil {
			continue
		}
		l, err := loadWith(t, originText, over)
		if err != nil {
			continue // refused, with its place
		}
		if a := l.Satellite("a"); len(l.Satellites) != 2 || len(a.Env) != 1 || a.Command[0] != "x" {
			t.Errorf("%q: %+v", value, a)
		}
	}
	for _, key := range []string{"", ".", "a.", "command]\nx", `x"y`} {
		if over, err := (Overlay{}).With("a", key, "1"); err == nil {
			if _, err := loadWith(t, originText, over); err == nil {
				t.Errorf("%q is a key", key)
			}
		}
	}
	if over, err := (Overlay{}).With("a", "env.PORT", "8080"); err != nil || over.Set[0].Value != `"8080"` {
		t.Error(over, err)
	}
}
