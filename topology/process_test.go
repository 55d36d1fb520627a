package topology

import (
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func pointer[T any](v T) *T { return &v }

func TestLoadOfProcess(t *testing.T) {
	topo, err := loadText(t, `
[defaults]
stop = { signal = "HUP" }
rlimits = { nofile = 100 }
[satellite.a]
command = "a"
user = "1000"
groups = []
umask = "0"
nice = 0
oom_score_adj = -7
cpu_affinity = [1]
capabilities = ["CAP_NET_RAW"]
rlimits = { core = "0:unlimited", as = "1GiB", cpu = "1m:2m", rttime = "5us" }
stop = { command = "./bye '${instance}'", signals = ["INT", "SIGTERM after 1s"] }
restart = { success_signals = ["TERM", "PIPE"], forbid_codes = [2] }
[satellite.b]
command = "b"
`)
	if err != nil {
		t.Fatal(err)
	}
	a, b := topo.Satellite("a"), topo.Satellite("b")
	want := Process{
		User: "1000", Groups: []string{}, Umask: pointer[uint32](0), Nice: pointer(0), OOMScoreAdj: pointer(-7), CPUAffinity: []int{1},
		Capabilities: []string{"net_raw"},
		Rlimits:      Rlimits{0: {60, 120}, 4: {0, Unlimited}, 7: {100, 100}, 9: {1 << 30, 1 << 30}, 15: {5, 5}},
	}
	if d := cmp.Diff(want, a.Process); d != "" {
		t.Error(d)
	}
	stop := Stop{
		Command: []string{topo.Dir + "/bye", "${instance}"}, Signal: syscall.SIGINT, Deadline: 10 * time.Second,
		Signals: []StopSignal{{Signal: syscall.SIGINT}, {syscall.SIGTERM, time.Second}},
	}
	if d := cmp.Diff(stop, a.Stop); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Process{Rlimits: Rlimits{7: {100, 100}}}, b.Process); d != "" || b.Stop.Signal != syscall.SIGHUP {
		t.Errorf("of the defaults: %s %v", d, b.Stop.Signal)
	}
	if d := cmp.Diff([]syscall.Signal{syscall.SIGTERM, syscall.SIGPIPE}, a.Restart.SuccessSignals); d != "" {
		t.Error(d)
	}
}

// The names stand at the places of the kernel's numbers.
func TestKernelNumbers(t *testing.T) {
	for name, number := range map[string]int{"cpu": syscall.RLIMIT_CPU, "core": syscall.RLIMIT_CORE, "nofile": syscall.RLIMIT_NOFILE, "as": syscall.RLIMIT_AS, "rttime": 15} {
		if RlimitName(number) != name {
			t.Errorf("limit %d is %s", number, RlimitName(number))
		}
	}
	for name, number := range map[string]int{"chown": 0, "net_bind_service": 10, "sys_admin": 21, "setfcap": 31, "checkpoint_restore": 40} {
		if CapabilityNames()[number] != name {
			t.Errorf("capability %d is %s", number, CapabilityNames()[number])
		}
	}
}
