package cmd_test

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dsat/dsat/web/control"
)

// manyKills is how often dsatd is killed in all; `make soak` asks for 10,000.
var manyKills = flag.Int("kills", 200, "kills of dsatd for TestKilledWithDurableQueues")

// durableFlow is a topology in which all queues are durable, over both carriers of the bus and a filter.
const durableFlow = `
dsat = 1
name = "t"
[defaults]
restart = { limit = 0 }
[daemon]
http = ""
[satellite.source]
plugin = "generate"
instances = 2
options = { rate = 700, size = 200, ledger = "told" }
to = ["worker", "filter"]
[satellite.worker]
plugin = "copy"
instances = 2
to = "sink"
queue = { delivery = "durable" }
[satellite.filter]
command = "cat"
speaks = "lines"
to = "other"
queue = { delivery = "durable" }
[satellite.sink]
plugin = "null"
options = { ledger = "got" }
queue = { delivery = "durable" }
[satellite.other]
plugin = "null"
options = { ledger = "got2" }
queue = { delivery = "durable" }
`

// pit is where one dsatd with durable queues is killed and started again.
type pit struct {
	t    *testing.T
	dir  string
	run  string
	cmd  *exec.Cmd
	says *os.File
}

func newPit(t *testing.T, text string) *pit {
	p := &pit{t: t, dir: t.TempDir()}
	p.run = filepath.Join(p.dir, "run")
	t.Cleanup(func() {
		p.kill()
		endAll(p.run)
	})
	if err := os.WriteFile(filepath.Join(p.dir, "t.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pit) environ() []string {
	return append(os.Environ(), "DSAT_RUN_DIR="+p.run, "XDG_STATE_HOME="+filepath.Join(p.dir, "state"))
}

func (p *pit) start() {
	var err error
	if p.says, err = os.Create(filepath.Join(p.dir, "says")); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(filepath.Join(binaries, "dsatd"), "start", "t.toml")
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = p.dir, p.environ(), p.says
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends dsatd as the kernel does, if it runs; its satellites live on.
func (p *pit) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()
	_ = p.says.Close()
	p.cmd = nil
}

func (p *pit) words() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "says"))
	return string(text)
}

func (p *pit) ask(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(binaries, "dsatctl"), args...)
	cmd.Env = p.environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *pit) must(args ...string) {
	p.t.Helper()
	if out, err := p.ask(args...); err != nil {
		p.t.Fatalf("%s: %v\n%s\ndsatd said:\n%s", args, err, out, p.words())
	}
}

// until waits until a status is as it shall be.
func (p *pit) until(what string, good func(*control.Status) bool) {
	p.t.Helper()
	var out string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var st control.Status
		var err error
		out, err = p.ask("status", "--json")
		if err == nil && json.Unmarshal([]byte(out), &st) == nil && good(&st) {
			return
		}
	}
	p.t.Fatalf("not %s:\n%s\ndsatd said:\n%s", what, out, p.words())
}

// drained ends the sources, waits until all is done, and ends dsatd.
func (p *pit) drained() {
	p.t.Helper()
	p.until("up", func(st *control.Status) bool { return st.State == "running" || st.State == "ready" })
	p.must("stop", "source")
	p.until("done", func(st *control.Status) bool {
		return st.Ledger != nil && st.Ledger.Balanced && st.Ledger.Held+st.Ledger.InFlight == 0
	})
	p.must("down")
	_ = p.cmd.Wait()
	p.cmd = nil
}

// judged asks the judge about what was told and what came.
func (p *pit) judged(told string, got ...string) string {
	p.t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "dsat-ledger"), append([]string{told}, got...)...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "lost 0 ") || !strings.Contains(string(out), "invented 0") {
		p.t.Errorf("%s and %s: %v\n%s\nthe last dsatd said:\n%s", told, got, err, out, p.words())
	}
	return strings.TrimSpace(string(out))
}

// dsatd is killed at random moments under load, in its start too, and workers as well. What producers were told is accepted is
// delivered in the end, and nothing else is.
func TestKilledWithDurableQueues(t *testing.T) {
	t.Parallel()
	kills := *manyKills
	if testing.Short() {
		kills = min(kills, 24)
	}
	const pits = 4
	for n := range pits {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			p := newPit(t, durableFlow)
			rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(n)))
			for k := range (kills + pits - 1) / pits {
				p.start()
				p.hitAtRandom(rnd, k)
			}
			p.start()
			p.drained()
			t.Log("sink:", p.judged("told", "got"))
			t.Log("other:", p.judged("told", "got2"))
		})
	}
}

// hitAtRandom kills dsatd: in every third life before all can be up, in every seventh some of its satellites just before it.
func (p *pit) hitAtRandom(rnd *rand.Rand, k int) {
	moment := 450
	if k%3 == 0 {
		moment = 100
	}
	time.Sleep(time.Duration(rnd.IntN(moment)) * time.Millisecond)
	if k%7 == 3 {
		for _, pid := range children(p.run) {
			if rnd.IntN(3) == 0 && environOf(pid)["DSAT_NAME"] != "source" {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
	}
	p.kill()
}
