package topology

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var pairs = flag.Int("pairs", 5000, "random pairs of topologies that are compared; `make ci` takes 100,000")

// randomTopology draws values that differ often and are equal often.
func randomTopology(r *rand.Rand) *Topology {
	t := &Topology{Name: "t", Dir: []string{"/d", "/d", "/d", "/e"}[r.IntN(4)]}
	t.Daemon.HTTP = []string{"", "127.0.0.1:1"}[r.IntN(2)]
	names := []string{"a", "b", "c", "d", "e"}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	names = names[:r.IntN(len(names)+1)]
	heirs := map[string]bool{}
	for _, name := range names {
		s := &Satellite{Name: name, Command: [][]string{{"x"}, {"y", "z"}}[r.IntN(2)], Speaks: []Speaks{SpeaksBus, SpeaksNone}[r.IntN(2)], Instances: 1 + r.IntN(2)}
		s.Stop = Stop{Signal: syscall.SIGTERM, Deadline: time.Duration(r.IntN(2)) * time.Second}
		s.Ready.Kind, s.Log.Keep = ReadySpawned, r.IntN(2)
		if r.IntN(3) == 0 {
			s.Env = map[string]string{"A": fmt.Sprint(r.IntN(2))}
		}
		if r.IntN(4) == 0 {
			if from := string('a' + byte(r.IntN(5))); !slices.Contains(names, from) && !heirs[from] {
				s.MovedFrom = from
				heirs[from] = true
			}
		}
		for _, to := range names {
			if s.Speaks == SpeaksBus && r.IntN(4) == 0 {
				s.To = append(s.To, Link{To: to})
			}
		}
		t.Satellites = append(t.Satellites, s)
	}
	return t
}

// told is a satellite as a set of keys and values, which is what a plan talks about.
func told(keys []*key, s *Satellite) map[string]string {
	out := map[string]string{}
	for _, l := range leaves(keys, s, "") {
		out[l.label] = l.value
	}
	return out
}

// carryOut does to the old topology what the plan says, key by key, and nothing else.
func carryOut(keys []*key, p *Plan) map[string]map[string]string {
	now := map[string]map[string]string{}
	for _, s := range p.Old.Satellites {
		now[s.Name] = told(keys, s)
	}
	for _, c := range p.Satellites {
		switch c.Verdict {
		case Added:
			now[c.Name] = told(keys, p.New.Satellite(c.Name))
		case Removed:
			delete(now, c.Name)
		case Renamed:
			now[c.Name] = now[c.From]
			delete(now, c.From)
		}
		for _, k := range c.Keys {
			switch {
			case strings.HasPrefix(k.Key, "directory"):
			case k.New == "":
				delete(now[c.Name], k.Key)
			default:
				now[c.Name][k.Key] = k.New
			}
		}
	}
	return now
}

func TestPlansMakeTheNewOfTheOld(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	root := language()
	each := root.find("satellite").each
	each.keys = slices.DeleteFunc(each.keys, func(k *key) bool { // what is not drawn takes its time only
		return !slices.Contains([]string{"command", "speaks", "to", "instances", "env", "moved_from", "stop", "log"}, k.name)
	})
	keys := each.keys
	for n := range *pairs {
		before, after := randomTopology(r), randomTopology(r)
		if n%4 == 0 {
			after = before
		}
		p := diff(root, before, after)
		if problem := wrongPlan(keys, p); problem != "" {
			t.Fatalf("seed %d, pair %d: %s\n--- old\n%s\n--- new\n%s\n--- plan\n%+v", seed, n, problem, before.Effective(), after.Effective(), p.Satellites)
		}
	}
}

func wrongPlan(keys []*key, p *Plan) string {
	now := carryOut(keys, p)
	if len(now) != len(p.New.Satellites) {
		return "there are other satellites after it"
	}
	for _, s := range p.New.Satellites {
		want, got := told(keys, s), now[s.Name]
		if len(want) != len(got) {
			return s.Name + " has other keys after it"
		}
		for k, v := range want {
			if got[k] != v {
				return fmt.Sprintf("%s.%s is %s after it", s.Name, k, got[k])
			}
		}
	}
	if p.Old == p.New && !p.Empty() {
		return "there is something to do between equals"
	}
	for _, c := range p.Satellites {
		if (c.Verdict == Unchanged) != (len(c.Keys) == 0 && c.Verdict != Added && c.Verdict != Removed && c.Verdict != Renamed) || c.Verdict == Unchanged && c.Restart {
			return c.Name + " is touched"
		}
	}
	return wrongStages(p)
}

// wrongStages: in between every link leads to somebody, unchanged satellites are what they were, and nothing is there twice.
func wrongStages(p *Plan) string {
	for n, stage := range []*Topology{p.Wide(), p.Narrow()} {
		seen := map[string]bool{}
		for _, s := range stage.Satellites {
			if seen[s.Name] {
				return s.Name + " is there twice in between"
			}
			seen[s.Name] = true
			for _, l := range s.To {
				if stage.Satellite(l.To) == nil && p.Narrow().Satellite(l.To) == nil {
					return s.Name + " leads to nobody in between"
				}
			}
		}
		for _, c := range p.Satellites {
			s := stage.Satellite(c.Name)
			if s == nil {
				return c.Name + " is away in between"
			}
			if len(p.Moved()) == 0 && (c.Verdict == Removed || n == 0 && c.Verdict == Unchanged) && s != p.Old.Satellite(c.Name) {
				return c.Name + " is another in between"
			}
			if (c.Restart || c.Verdict == Added) && s != p.New.Satellite(c.Name) {
				return c.Name + " is the old one in between"
			}
		}
	}
	return ""
}

func TestDiffTellsKeys(t *testing.T) {
	before := load(t, "[satellite.a]\ncommand = \"x\"\n[satellite.b]\ncommand = \"y\"\n[satellite.c]\ncommand = \"z\"\n[satellite.old]\ncommand = \"o\"\n")
	after := load(t, `daemon = { stop_deadline = "1s", run_dir = "/other" }
[satellite.a]
command = "x"
stop = { deadline = "3s" }
[satellite.b]
command = "y2"
env = { A = "1" }
[satellite.new]
command = "o"
moved_from = "old"
[satellite.d]
command = "d"
`)
	p := Diff(before, after)
	var got []string
	for _, c := range p.Satellites {
		got = append(got, fmt.Sprintf("%s %s %s %v", c.Name, c.Verdict, c.From, c.Restart))
		for _, k := range c.Keys {
			got = append(got, fmt.Sprintf("  %s: %s -> %s %v", k.Key, k.Old, k.New, k.Restart))
		}
	}
	for _, k := range append(p.Daemon, p.Refused...) {
		got = append(got, fmt.Sprintf("%s: %s -> %s %v", k.Key, k.Old, k.New, k.Restart))
	}
	want := []string{
		"a changed  false", `  stop.deadline: "10s" -> "3s" false`,
		"b changed  true", `  command: ["y"] -> ["y2"] true`, `  env: {} -> { A = "1" } true`,
		"new renamed old true", `  moved_from:  -> "old" false`, "d added  false", "c removed  false",
		`daemon.stop_deadline: "30s" -> "1s" false`, `daemon.run_dir: "" -> "/other" true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

func load(t *testing.T, text string) *Topology {
	t.Helper()
	topo, err := loadText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	topo.Dir, topo.Files = "/d", nil
	for _, s := range topo.Satellites {
		s.Dir = "/d"
	}
	return topo
}
