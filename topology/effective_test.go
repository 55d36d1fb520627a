package topology

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawing makes topologies that are right, from the schema: whatever key is added there is drawn here.
type drawing struct {
	t     *rapid.T
	names []string
}

func (d *drawing) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(d.t, label)
}

func (d *drawing) text() string {
	return rapid.StringOf(rapid.SampledFrom([]rune("ab0 '\"\\#$é={}[],.\t\n"))).Draw(d.t, "text")
}

// value draws the TOML of a value of that key; "" when it draws none.
func (d *drawing) value(k *key) string {
	switch k.kind.(type) {
	case tableKind:
		return "{ " + strings.Join(d.members(k.keys, " = "), ", ") + " }"
	case namesKind:
		return fmt.Sprintf("{ A = %s, b_2 = %s }", quote(d.text(), true), quote("${instance}"+d.text(), true))
	case entriesKind:
		return d.entries(k)
	case freeKind:
		return fmt.Sprintf("{ %s = [1, -2.5, true, %s], t = { x = %s } }", keyText(d.text()), quote(d.text(), false), quote(d.text(), false))
	case textKind:
		return quote(d.text(), false)
	case nameKind:
		if k.name == "moved_from" {
			return "" // of two satellites only one can have it
		}
		return `"n-1"`
	case boolKind:
		if k.label == "limits.swap" {
			return "true" // false wants memory
		}
		if k.name == "notify" {
			return "true" // nothing else fits a watchdog
		}
		return d.pick("bool", "true", "false")
	case wholeKind:
		if k.name == "burst" {
			return "" // not without rate
		}
		if k.name == "in_hand" {
			return "1" // what a filter in lockstep can have
		}
		return fmt.Sprint(rapid.Int64Range(k.min, min(k.max, 5000)).Draw(d.t, "whole"))
	case numberKind:
		return numberKind{}.format(rapid.Float64Range(float64(k.min), float64(k.max)).Draw(d.t, "number"))
	case durationKind:
		if k.label == "restart.backoff.max" {
			return `"1h"`
		}
		if k.label == "watchdog" {
			return d.pick("watchdog", `"0s"`, `"100ms"`, `"1m"`)
		}
		if k.label == "restart.backoff.initial" {
			return `"2ms"`
		}
		return d.pick("duration", `"1ms"`, `"90s"`, `"1h0m0.5s"`, `"1h"`)
	case sizeKind:
		if k.label == "limits.memory" {
			return `"1GiB"`
		}
		if k.name == "total" {
			return `"1TiB"` // not less than max_size
		}
		return d.pick("size", `"64KiB"`, `"100kB"`, `"1048577B"`, `"1.5MiB"`)
	case optionalKind:
		return fmt.Sprint(rapid.Int64Range(k.min, k.max).Draw(d.t, "optional"))
	case scheduleKind: // a schedule that starts it would forbid a policy of restarts
		return d.pick("schedule", `{ cron = "30 2 * * FRI#L", zone = "Europe/Vienna", action = "restart" }`, `{ every = "1h", jitter = "1m", action = "signal:SIGHUP" }`,
			`{ a = { every = "1s", overlap = "queue", missed = "all", action = "restart" }, b-2 = { cron = "0 0 * * *", overlap = "kill", missed = "once", action = "signal:HUP" } }`)
	case secretGrantsKind:
		return d.pick("grants", `"db"`, `["db", "api"]`, `{ "tls.key" = "db", API_1 = "api", again = "api" }`)
	case variableKind:
		return `"DB_PASSWORD"`
	case hookKind:
		return d.pick("hook", `"./h ${instance}"`, `["h", "$$x"]`, `{ command = "h" }`, `{ command = ["h"], deadline = "1s", ignore_failure = true }`)
	case umaskKind:
		return d.pick("umask", `"0"`, `"027"`, `"0777"`)
	case accountKind:
		if k.name == "user" {
			return "" // not for what speaks bus
		}
		return d.pick("account", `"adm"`, `44`, `"1000"`, `"${USER}"`)
	case accountsKind:
		return d.pick("accounts", `[]`, `["adm", 44]`)
	case capabilitiesKind:
		return d.pick("capabilities", `[]`, `["net_admin", "CAP_CHOWN"]`)
	case patternsKind:
		return d.pick("patterns", `[]`, `"*.log"`, `["build/*", "[a-z]?$"]`)
	case variablesKind:
		return d.pick("variables", `[]`, `"A"`, `["LC_*", "*"]`)
	case rlimitKind:
		return d.rlimit(k)
	case signalsKind:
		return d.pick("signals", `[]`, `"PIPE"`, `["TERM", "SIGHUP"]`)
	case sequenceKind:
		return d.pick("sequence", `"INT"`, `["INT", "TERM after 500us", "SIGKILL after 501us"]`)
	case signalKind:
		return `"` + d.pick("signal", signalNames()...) + `"`
	case regexpKind:
		return d.pick("regexp", `'^up$'`, `"a\\.b"`, `'\d+ $$5'`)
	case hostPortKind:
		return fmt.Sprintf(`"db.example:%d${instance}"`, rapid.IntRange(1, 6553).Draw(d.t, "port"))
	case listenKind:
		return `"127.0.0.1:0"`
	case urlKind:
		return `"http://127.0.0.1:80${instance}/x?y=$$z"`
	case commandKind:
		return d.pick("command", `"./a b 'c d' ${instance}"`, `["/x", "| $$", "${instance}"]`, `'prog "\$x" $1'`)
	case pathKind, pathsKind:
		return d.pick("path", `"x/../y"`, `"/abs"`, `"with space"`)
	case codesKind:
		if k.name == "forbid_codes" {
			return d.pick("codes", "[]", "[2, 64]") // no success
		}
		return d.pick("codes", "[0]", "[]", "[3, 255]")
	case endingKind:
		if k.name == "done" {
			return `"stay"` // where the policy is always, nothing else
		}
		return d.pick("ending", `"exit"`, `"exit:0"`, `"exit:255"`)
	case sinksKind:
		return d.pick("sinks", `"file"`, `[]`, `["journald", "syslog"]`)
	case rotateKind:
		return d.pick("rotate", `"never"`, `"daily"`, `"hourly"`, `"24h"`, `"90m"`)
	case rateKind:
		return d.pick("rate", `"unlimited"`, `"1000/s"`, `"5/m"`, `"1/h"`)
	case syslogAddressKind:
		return d.pick("syslog", `"/run/log"`, `"udp://log.example"`, `"tcp://[::1]:601"`)
	case enumKind:
		return d.choice(k)
	}
	return ""
}

// entries draws tables of the user's names. Those whose keys depend on each other are led.
func (d *drawing) entries(k *key) string {
	switch k.name {
	case "health":
		how := d.pick("check", `exec = "./well ${instance}"`, `get = "http://127.0.0.1:1/", status = [200, 503], body = '^ok'`, `tcp = "h:1${instance}"`, `grpc = "h:1/a.B"`)
		then := d.pick("then", `then = "signal", signal = "USR1"`, `then = "nothing"`, `failures = 7, successes = 2`, `delay = "1s", every = "1m", deadline = "5s"`)
		return fmt.Sprintf("{ z = { %s }, a = { tcp = \"h:1\", %s } }", how, then)
	}
	return ""
}

func (d *drawing) rlimit(k *key) string {
	switch k.kind.(rlimitKind).unit {
	case unitCount:
		return d.pick("limit", `0`, `1024`, `"unlimited"`, `"10:unlimited"`, `"1:2"`)
	case unitBytes:
		return d.pick("limit", `0`, `"64MiB"`, `"unlimited"`, `"0:unlimited"`, `"1kB:1.5MiB"`)
	}
	return d.pick("limit", `0`, `"90s"`, `"unlimited"`, `"1m:infinity"`, `"1s:2h30m"`)
}

func (d *drawing) choice(k *key) string {
	switch k.label {
	case "ready.on":
		return `"spawned"`
	case "log.stderr":
		return `"capture"`
	}
	var out []string
	for _, c := range k.choices {
		if !c.later {
			out = append(out, `"`+c.value+`"`)
		}
	}
	return d.pick("choice", out...)
}

// members draws some of the keys, at most one of each group.
func (d *drawing) members(keys []*key, equals string) []string {
	var out []string
	groups := map[string]bool{"command": true}
	for _, k := range keys {
		if k.later || k.applies != nil || k.name == "speaks" || groups[k.group] && k.group != "" || !rapid.Bool().Draw(d.t, "say "+k.name) {
			continue
		}
		if v := d.value(k); v != "" {
			out = append(out, k.name+equals+v)
			groups[k.group] = true
			switch k.name {
			case "get":
				out = append(out, d.pick("answer", `body = "ok"`, `status = [204]`))
			case "notify":
				out = append(out, `notify_access = "all"`)
			}
		}
	}
	return out
}

// satellite draws one table; nothing refers forward, so that there are no cycles.
func (d *drawing) satellite(i int, schema *key) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[satellite.%s]\n", d.names[i])
	speaks := d.pick("speaks", "plugin", "none", "bus", "lines", "json", "frames")
	if speaks == "plugin" {
		fmt.Fprintf(&b, "plugin = %s\n", d.pick("plugin", `"cpu"`, `"./own"`))
	} else {
		fmt.Fprintf(&b, "command = %s\nspeaks = %q\n", d.value(schema.find("command")), speaks)
	}
	if Speaks(speaks).Filter() {
		fmt.Fprintf(&b, "mode = %q\ntty = %s\n", d.pick("mode", "lockstep", "pipelined", "many"), d.value(schema.find("tty")))
	}
	if speaks != "none" {
		for _, name := range []string{"queue", "work"} {
			if rapid.Bool().Draw(d.t, name) {
				fmt.Fprintf(&b, "%s = %s\n", name, d.value(schema.find(name)))
			}
		}
	}
	if i > 0 && rapid.Bool().Draw(d.t, "needs") {
		fmt.Fprintf(&b, "needs = [\"%s:%s\"]\nafter = %q\n", d.names[i-1], d.pick("stage", "booted", "ready", "healthy"), d.names[0])
	}
	for _, line := range d.members(schema.keys, " = ") {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// sockets draws two tables that nobody is granted.
func (d *drawing) sockets(schema *key) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[socket.s-1]\nlisten = %s\nuser = \"adm\"\nmode = \"0600\"\n", d.pick("path", `"x/../y.sock"`, `"unix:///run/x"`))
	fmt.Fprintf(&b, "[socket.s_2]\nlisten = %s\nreuse_port = true\nfree_bind = true\n", d.pick("address", `"tcp://:80"`, `"udp://[::1]:80"`, `"tcp://*:1"`, `"udp://localhost:53"`))
	for _, line := range d.members(schema.keys, " = ") {
		if !strings.HasPrefix(line, "per_instance") && !strings.HasPrefix(line, "reuse_port") && !strings.HasPrefix(line, "free_bind") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func drawTopology(t *rapid.T) string {
	root := language()
	d := &drawing{t: t, names: []string{"a", "b-1", "c_2", "0"}[:rapid.IntRange(1, 4).Draw(t, "satellites")]}
	var b strings.Builder
	for _, name := range []string{"name", "daemon", "defaults"} {
		if rapid.Bool().Draw(t, name) {
			fmt.Fprintf(&b, "%s = %s\n", name, d.value(root.find(name)))
		}
	}
	fmt.Fprintf(&b, "[secrets.db]\n%s\n", d.pick("secret", `file = "keys/${instance}"`, `env = "DB"`, `file = "/k/$$x"`))
	fmt.Fprintf(&b, "[secrets.api]\ncommand = %s\n%s\n", d.value(root.find("secrets").each.find("command")), d.pick("deadline", "", `deadline = "1m"`))
	if rapid.Bool().Draw(t, "sockets") {
		b.WriteString(d.sockets(root.find("socket").each))
	}
	for i := range d.names {
		b.WriteString(d.satellite(i, root.find("satellite").each))
	}
	if rapid.Bool().Draw(t, "group") {
		fmt.Fprintf(&b, "[group.g]\nmembers = [%q]\n", d.pick("member", d.names...))
		for _, line := range d.members(root.find("group").each.keys, " = ") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// TestEffectiveIsTheSame is the promise of --effective: it says all, and says the same.
func TestEffectiveIsTheSame(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "t.toml")
	rapid.Check(t, func(t *rapid.T) {
		text := drawTopology(t)
		load := func(text []byte) *Topology {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			topo, err := Load([]string{path}, testOptions())
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			return topo
		}
		first := load([]byte(text))
		effective := first.Effective()
		second := load(effective)
		if d := cmp.Diff(first, second); d != "" {
			t.Fatalf("%s\n%s\n%s", d, text, effective)
		}
		if again := second.Effective(); string(again) != string(effective) {
			t.Fatalf("the effective file of the effective file differs: %s", cmp.Diff(string(effective), string(again)))
		}
		for _, s := range []string{text, string(effective)} {
			if flaws := validate(t, s); len(flaws) > 0 {
				t.Fatalf("the JSON Schema refuses it: %v\n%s", flaws, s)
			}
		}
	})
}
