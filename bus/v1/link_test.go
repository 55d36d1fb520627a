package v1

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseLink(t *testing.T) {
	for _, c := range []struct {
		name               string
		scheme             Scheme
		src, dst           string
		srcBinds, dstBinds bool
		from, to           string
	}{
		{"PUSH_any_ORCHESTER", "PUSH", "any", "orchester", false, true, "any", "orchester"},
		{"PUSH_orchester_cpu", "PUSH", "orchester", "cpu", false, false, "orchester", "cpu"},
		{"PUSH_ORCHESTER_cpu", "PUSH", "orchester", "cpu", true, false, "orchester", "cpu"},
		{"PUB_TRACKER_any", "PUB", "tracker", "any", true, false, "tracker", "any"},
		{"SUB_orchester_MASTER", "SUB", "orchester", "master", false, true, "master", "orchester"},
		{"PULL_csv-2_CPU", "PULL", "csv-2", "cpu", false, true, "cpu", "csv-2"},
	} {
		l, f := ParseLink(c.name)
		if f != nil {
			t.Errorf("%s: %v", c.name, f)
			continue
		}
		if l.Scheme != c.scheme || l.Src != c.src || l.Dst != c.dst || l.SrcBinds != c.srcBinds || l.DstBinds != c.dstBinds || l.From() != c.from || l.To() != c.to {
			t.Errorf("%s: %+v", c.name, l)
		}
		if l.String() != c.name {
			t.Errorf("%s is written again as %s", c.name, l)
		}
	}
}

func TestLinkFlaws(t *testing.T) {
	for _, c := range []struct {
		name string
		off  int
		say  string
	}{
		{"", 0, "exactly two _"},
		{"PUSH", 0, "exactly two _"},
		{"PUSH_orchester_cpu_clock", 18, "exactly two _"},
		{"push_orchester_cpu", 0, "is no scheme"},
		{"DEALER_orchester_cpu", 0, "is no scheme"},
		{"PUSH__cpu", 5, "without a name"},
		{"PUSH_orchester_", 15, "without a name"},
		{"PUSH_Orchester_cpu", 5, "neither in capitals nor in lower case"},
		{"PUSH_orchester_company", 15, "overlooks every link"},
		{"PUSH_orchester_12", 15, "no letters"},
		{"PUSH_orchester_c:u", 15, "is no name"},
		{"PUSH_cpu_cpu", 5, "to itself"},
		{"PUSH_ORCHESTER_CPU", 5, "both ends"},
		{"PUSH_ANY_orchester", 5, "any cannot bind"},
		{"PUSH_any_cpu", 5, "orchester and tracker only"},
		{"PUSH_any_any", 5, "to itself"},
	} {
		_, f := ParseLink(c.name)
		if f == nil || !strings.Contains(f.Text, c.say) || f.Off != c.off {
			t.Errorf("%q: %+v, want %q at %d", c.name, f, c.say, c.off)
		}
	}
}

func TestExpand(t *testing.T) {
	vars := map[string]string{"ext_ip": "127.0.0.1", "csvw_port": "9558", "word": "x"}
	for _, c := range []struct{ in, want, flaw string }{
		{"tcp://%(ext_ip)s:%(csvw_port)s", "tcp://127.0.0.1:9558", ""},
		{"tcp://%(ext_ip)s:%(csvw_port)d", "tcp://127.0.0.1:9558", ""},
		{"100%% of %(word)s%(word)s", "100% of xx", ""},
		{"", "", ""},
		{"%(master_ip)s", "", "has no value"},
		{"%(word)d", "", "wants a number"},
		{"%", "", "begins"},
		{"%s", "", "begins"},
		{"%(word)", "", "begins"},
		{"%(word", "", "begins"},
		{"%(word)x", "", "begins"},
	} {
		got, f := Expand(c.in, vars)
		if got != c.want || (f == nil) != (c.flaw == "") || f != nil && !strings.Contains(f.Text, c.flaw) {
			t.Errorf("%q: %q, %+v", c.in, got, f)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	for _, c := range []struct {
		in, url, flaw string
		local         bool
	}{
		{"tcp://127.0.0.1:6666", "tcp://127.0.0.1:6666", "", true},
		{"tcp://localhost:6666", "tcp://localhost:6666", "", true},
		{"tcp://[::1]:6666", "tcp://[::1]:6666", "", true},
		{"tcp://*:6666", "tcp://*:6666", "", false},
		{"tcp://10.0.0.1:6666", "tcp://10.0.0.1:6666", "", false},
		{"ipc://tracker_in", "ipc:///srv/probe/tracker_in", "", true},
		{"ipc:///run/x", "ipc:///run/x", "", true},
		{"ipc://./a/../x", "ipc:///srv/probe/x", "", true},
		{"ipc://@abstract", "ipc://@abstract", "", true},
		{"tcp://127.0.0.1", "", "no host and port", false},
		{"tcp://:6666", "", "names no host", false},
		{"tcp://127.0.0.1:0", "", "no port", false},
		{"tcp://127.0.0.1:*", "", "no port", false},
		{"tcp://127.0.0.1:65536", "", "no port", false},
		{"127.0.0.1:6666", "", "is no endpoint", false},
		{"inproc://x", "", "tcp:// or ipc://", false},
		{"ipc://", "", "wants a path", false},
		{"ipc://*", "", "wants a path", false},
		{"ipc:///" + strings.Repeat("x", 107), "", "at most 107", false},
	} {
		e, f := ParseEndpoint(c.in, "/srv/probe")
		if (f == nil) != (c.flaw == "") || f != nil && !strings.Contains(f.Text, c.flaw) {
			t.Errorf("%q: %+v", c.in, f)
		}
		if f == nil && (e.URL != c.url || e.Local() != c.local) {
			t.Errorf("%q: %+v, local %v", c.in, e, e.Local())
		}
	}
}

// roles has legacy satellites in lower case words of DSAT's samples; dsatd stands for what is in ours.
func roles(ours string) func(string) Role {
	return func(name string) Role {
		switch {
		case name == Orchester || name == Tracker || strings.Contains(" "+ours+" ", " "+name+" "):
			return Ours
		case strings.Contains(" cpu clock ping proc csvw rrd ", " "+name+" "):
			return Theirs
		}
		return Nobody
	}
}

func TestLint(t *testing.T) {
	tcp := func(port int) string { return fmt.Sprintf("tcp://127.0.0.1:%d", port) }
	for _, c := range []struct {
		name  string
		ours  string
		links map[string]string
		open  string   // what dsatd opens: END=SCHEME, with a ! when it binds
		say   []string // problems, in order; a note begins with "note: "
	}{
		{"0.6 as it should be", "", map[string]string{"PUSH_any_ORCHESTER": tcp(1), "PUSH_ORCHESTER_cpu": tcp(2), "PUSH_any_TRACKER": tcp(3), "PUB_TRACKER_any": tcp(4), "SUB_orchester_MASTER": tcp(5)},
			"PUB_TRACKER_any:tracker=PUB! PUSH_ORCHESTER_cpu:orchester=PUSH! PUSH_any_ORCHESTER:orchester=PULL! PUSH_any_TRACKER:tracker=PULL! SUB_orchester_MASTER:orchester=SUB", nil},
		{"0.5: nobody binds", "", map[string]string{"PUSH_orchester_cpu": tcp(2)}, "PUSH_orchester_cpu:orchester=PUSH!", []string{"note: nobody binds PUSH_orchester_cpu"}},
		{"nobody binds, and dsatd is not there", "", map[string]string{"PUSH_cpu_csvw": tcp(2)}, "", []string{"nobody binds PUSH_cpu_csvw"}},
		{"two of theirs, directly", "", map[string]string{"PUSH_cpu_CSVW": tcp(2), "PUSH_ping_CSVW": tcp(2)}, "PUSH_cpu_CSVW:= PUSH_ping_CSVW:=", nil},
		{"csvw has moved", "csvw", map[string]string{"PUSH_cpu_CSVW": tcp(2), "PUSH_ping_CSVW": tcp(2)}, "PUSH_cpu_CSVW:csvw=PULL! PUSH_ping_CSVW:csvw=PULL!", nil},
		{"both have moved", "csvw cpu", map[string]string{"PUSH_cpu_CSVW": tcp(2)}, "", []string{"note: PUSH_cpu_CSVW is not opened"}},
		{"two inputs", "", map[string]string{"PUSH_ORCHESTER_csvw": tcp(1), "PUSH_cpu_CSVW": tcp(2)}, "PUSH_ORCHESTER_csvw:orchester=PUSH! PUSH_cpu_CSVW:=", []string{"reads one input"}},
		{"two outputs to one endpoint", "", map[string]string{"PUSH_cpu_CSVW": tcp(2), "PUSH_cpu_rrd": tcp(2)}, "PUSH_cpu_CSVW:=", []string{"nobody binds PUSH_cpu_rrd"}},
		{"one endpoint, two binders", "csvw rrd", map[string]string{"PUSH_cpu_CSVW": "ipc://x", "PUSH_ping_RRD": "ipc://x"}, "PUSH_cpu_CSVW:csvw=PULL! PUSH_ping_RRD:rrd=PULL!", []string{"without a word"}},
		{"one endpoint, two receivers", "", map[string]string{"PUSH_ORCHESTER_cpu": tcp(1), "PUSH_ORCHESTER_proc": tcp(1)}, "PUSH_ORCHESTER_cpu:orchester=PUSH! PUSH_ORCHESTER_proc:orchester=PUSH!", []string{"each other's messages"}},
		{"one endpoint, two kinds of sockets", "", map[string]string{"PUSH_any_TRACKER": tcp(1), "PUB_TRACKER_any": tcp(1)}, "PUB_TRACKER_any:tracker=PUB! PUSH_any_TRACKER:tracker=PULL!", []string{"bound as PUB"}},
		{"one endpoint from one sender", "csvw rrd", map[string]string{"PUSH_cpu_CSVW": tcp(2), "PUSH_cpu_RRD": tcp(2)}, "PUSH_cpu_CSVW:csvw=PULL! PUSH_cpu_RRD:rrd=PULL!", []string{"the second to bind it fails", "by two links"}},
		{"several would bind", "", map[string]string{"PUSH_orchester_PING": tcp(2)}, "", []string{"each of the 2 processes of ping"}},
		{"beyond this machine", "", map[string]string{"PUSH_any_ORCHESTER": "tcp://*:1"}, "", []string{"others than this machine"}},
		{"to nowhere", "", map[string]string{"PUSH_orchester_CPU": "tcp://0.0.0.0:1"}, "", []string{"nobody can connect"}},
		{"REQ", "", map[string]string{"REQ_cpu_ORCHESTER": tcp(1)}, "", []string{"does not speak REP"}},
		{"REQ between two of theirs", "", map[string]string{"REQ_cpu_CSVW": tcp(1)}, "REQ_cpu_CSVW:=", nil},
		{"nobody of that name", "", map[string]string{"PUSH_ORCHESTER_cpuu": tcp(1)}, "", []string{"no such satellite"}},
		{"written twice", "", map[string]string{"PUSH_any_ORCHESTER": tcp(1), "PUSH_any_orchester": tcp(1)}, "PUSH_any_ORCHESTER:orchester=PULL! PUSH_any_orchester:orchester=PULL!", []string{"note: nobody binds", "written twice"}},
		{"all wrong at once", "", map[string]string{"push_x": "nowhere"}, "", []string{"exactly two _", "is no endpoint"}},
		{"a variable that leads astray", "", map[string]string{"PUSH_any_ORCHESTER": "%(transport)s://x"}, "", []string{`it becomes "udp://x"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, problems := Lint(Table{Links: c.links, Variables: map[string]string{"transport": "udp"}, Dir: "/srv", Role: roles(c.ours), Instances: func(n string) int {
				if n == "ping" {
					return 2
				}
				return 1
			}})
			var open []string
			for _, p := range plan {
				o := p.Name + ":" + p.End + "="
				if p.End != "" {
					o += string(p.Socket())
				}
				if p.Bind {
					o += "!"
				}
				open = append(open, o)
			}
			if got := strings.Join(open, " "); got != c.open {
				t.Errorf("opens %s\nwant  %s", got, c.open)
			}
			var say []string
			for _, p := range problems {
				text := p.Text
				if p.Note {
					text = "note: " + text
				}
				say = append(say, text)
			}
			for i, want := range c.say {
				if i >= len(say) || !strings.Contains(say[i], strings.TrimPrefix(want, "note: ")) || strings.HasPrefix(want, "note: ") != strings.HasPrefix(say[i], "note: ") {
					t.Errorf("problems are %q, want %q", say, c.say)
					break
				}
			}
			if len(say) != len(c.say) {
				t.Errorf("problems are %q, want %q", say, c.say)
			}
		})
	}
}

// A link that is taken is written again as it was, and is the same from both ends.
func TestLinkRoundTrip(t *testing.T) {
	end := rapid.StringMatching(`[a-z][a-z0-9-]{0,8}|[A-Z][A-Z0-9-]{0,8}|any|orchester|TRACKER`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(schemes).Draw(t, "scheme") + "_" + end.Draw(t, "src") + "_" + end.Draw(t, "dst")
		l, f := ParseLink(name)
		if f != nil {
			if f.Text == "" || f.Off < 0 || f.Off > len(name) {
				t.Fatalf("%s: %+v", name, f)
			}
			return
		}
		if l.String() != name {
			t.Fatalf("%s is written again as %s", name, l)
		}
		if l.Of(l.Src).Mate() != l.Of(l.Dst) {
			t.Fatalf("%s: %s and %s do not talk", name, l.Of(l.Src), l.Of(l.Dst))
		}
		if l.From() == l.To() || l.SrcBinds && l.DstBinds {
			t.Fatalf("%s: %+v", name, l)
		}
	})
}

func FuzzLink(f *testing.F) {
	for _, s := range []string{"PUSH_any_ORCHESTER", "PUB_TRACKER_any", "SUB_orchester_master", "PUSH_cpu_clock_csvw", "_x_", "%(ext_ip)s", "tcp://[::1]:1"} {
		f.Add(s, "tcp://%(ext_ip)s:%(port)d")
	}
	f.Fuzz(func(t *testing.T, name, endpoint string) {
		if l, flaw := ParseLink(name); flaw == nil && l.String() != name {
			t.Fatalf("%q is written again as %q", name, l)
		}
		plan, problems := Lint(Table{Links: map[string]string{name: endpoint}, Variables: map[string]string{"ext_ip": "127.0.0.1", "port": "6"}, Dir: "/d", Role: roles("csvw")})
		if len(plan) == 0 && len(problems) == 0 {
			t.Fatalf("%q = %q is neither opened nor refused", name, endpoint)
		}
		for _, p := range problems {
			at := endpoint
			if p.InName {
				at = name
			}
			if p.Text == "" || p.Off < 0 || p.Off > len(at) {
				t.Fatalf("%q = %q: %+v", name, endpoint, p)
			}
		}
	})
}
