package supervisor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"pgregory.net/rapid"

	"github.com/dsat/dsat/topology"
)

// A check is sick exactly when its newest looks contain so many failures in a row without so many successes in a row after them.
func TestTally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &topology.Check{Failures: rapid.IntRange(1, 4).Draw(t, "failures"), Successes: rapid.IntRange(1, 4).Draw(t, "successes")}
		looks := rapid.SliceOf(rapid.Bool()).Draw(t, "looks failed")
		var tally tally
		known, sick := false, false
		for n, failed := range looks {
			run := 1
			for run <= n && looks[n-run] == failed {
				run++
			}
			want := lookSame
			switch {
			case failed && run%c.Failures == 0:
				known, sick, want = true, true, lookSick
			case !failed && (!known || sick) && run == c.Successes:
				known, sick, want = true, false, lookWell
			}
			if got := tally.add(c, failed); got != want {
				t.Fatalf("look %d of %v: %d, want %d", n, looks, got, want)
			}
		}
	})
}

// quick is a check that looks often.
func quick(kind topology.CheckKind, then topology.CheckThen) *topology.Check {
	return &topology.Check{Name: "live", Kind: kind, Every: 5 * time.Millisecond, Deadline: 10 * time.Second, Failures: 2, Successes: 1, Then: then}
}

// flagged is a satellite whose check passes while a file is there.
func flagged(t *testing.T, then topology.CheckThen) (s *topology.Satellite, set func(well bool)) {
	file := filepath.Join(t.TempDir(), "well")
	set = func(well bool) {
		if !well {
			os.Remove(file)
		} else if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	s = satelliteOf("flagged", "", "")
	s.Command = []string{"/bin/sh", "-c", `trap 'echo got USR1' USR1; echo up; while :; do sleep 0.01; done`}
	s.Ready = topology.Ready{Kind: topology.ReadyLog, Log: "^up$", Deadline: 30 * time.Second}
	c := quick(topology.CheckExec, then)
	c.Exec = []string{"/bin/sh", "-c", `kill -0 $DSAT_PID && [ -e "$0" ] || { echo "no flag for $DSAT_INSTANCE"; exit 3; }`, file}
	c.Signal = checkSignal
	s.Health = []*topology.Check{c}
	return s, set
}

const flagWords = "its check live failed 2 times in a row: exit code 3: no flag for flagged:0"

func TestHealthRestarts(t *testing.T) {
	s, set := flagged(t, topology.CheckRestart)
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	who := ref("flagged", 0)
	first := r.until(who, "healthy", func(st InstanceStatus) bool { return st.Health == Healthy })
	set(false)
	st := r.until(who, "another", func(st InstanceStatus) bool { return st.PID != 0 && st.PID != first.PID })
	if st.LastExit != flagWords || st.Restarts != 1 {
		t.Errorf("%+v", st)
	}
	set(true)
	r.until(who, "healthy again", func(st InstanceStatus) bool { return st.Health == Healthy })
}

func TestHealthTakesReadiness(t *testing.T) {
	s, set := flagged(t, topology.CheckUnready)
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	who := ref("flagged", 0)
	first := r.until(who, "healthy", func(st InstanceStatus) bool { return st.Health == Healthy })
	if why := r.Ready(); len(why) != 0 {
		t.Errorf("%q", why)
	}
	set(false)
	r.until(who, "unready", func(st InstanceStatus) bool { return st.Unready && st.Health == Unhealthy })
	if why := strings.Join(r.Ready(), ""); why != "flagged:0 is running: is unhealthy: "+flagWords {
		t.Errorf("%q", why)
	}
	if why := r.Snapshot()[0].Why; why != "is unhealthy: "+flagWords {
		t.Errorf("%q", why)
	}
	set(true)
	if st := r.until(who, "ready", func(st InstanceStatus) bool { return !st.Unready }); st.PID != first.PID || st.Health != Healthy || st.Why != "" {
		t.Errorf("%+v", st)
	}
}

func TestHealthSignals(t *testing.T) {
	s, set := flagged(t, topology.CheckSignal)
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	who := ref("flagged", 0)
	set(false)
	r.line(who, "got USR1")
	if st := r.until(who, "unhealthy", func(st InstanceStatus) bool { return st.Health == Unhealthy }); st.State != Running || st.Unready {
		t.Errorf("%+v", st)
	}
}

// Nobody is left of the checks after a stop, whatever they were doing.
func TestHealthEndsWithTheProcess(t *testing.T) {
	s, _ := flagged(t, topology.CheckRestart)
	s.Health[0].Exec = []string{"/bin/sh", "-c", "sleep 1000 & sleep 1000"}
	r := start(t, list(s))
	if err := r.Boot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Stop(context.Background(), []topology.Ref{ref("flagged", 0)}); err != nil {
		t.Fatal(err)
	}
	r.errands.wait(context.Background())
	<-r.sweeper.all()
	if left := livingChildren(); len(left) > 0 {
		t.Errorf("left behind: %+v", left)
	}
}

func TestStageHealthy(t *testing.T) {
	s, set := flagged(t, topology.CheckNothing)
	set(false)
	s.Health[0].Successes = 3
	user := satelliteOf("user", "", "")
	user.Command = []string{"/bin/sleep", "1000"}
	user.Needs = []topology.Need{{Name: "flagged", Stage: topology.StageHealthy}}
	r := start(t, list(s, user))
	r.crew.run(func() { _ = r.Boot(context.Background()) })
	r.until(ref("flagged", 0), "unhealthy", func(st InstanceStatus) bool { return st.Health == Unhealthy })
	if st := r.status(ref("user", 0)); st.State != Starting || st.Why != "waits for flagged to be healthy" {
		t.Errorf("%+v", st)
	}
	set(true)
	r.until(ref("user", 0), "running", func(st InstanceStatus) bool { return st.State == Running })
}

func TestLooks(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
		case "/sick":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/moved":
			http.Redirect(w, r, "/sick", http.StatusFound)
		}
		fmt.Fprint(w, "all is fine")
	}))
	defer web.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	state := health.NewServer()
	state.SetServingStatus("db", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, state)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	free, up := closed.Addr().String(), l.Addr().String()
	r := start(t, nil)
	for name, c := range map[string]struct {
		check topology.Check
		want  string
	}{
		"get":            {topology.Check{Kind: topology.CheckGet, Get: web.URL}, ""},
		"get moved":      {topology.Check{Kind: topology.CheckGet, Get: web.URL + "/moved"}, ""},
		"get sick":       {topology.Check{Kind: topology.CheckGet, Get: web.URL + "/sick"}, web.URL + "/sick answered 503 Service Unavailable"},
		"get 503":        {topology.Check{Kind: topology.CheckGet, Get: web.URL + "/sick", Status: []int{503}}, ""},
		"get not 503":    {topology.Check{Kind: topology.CheckGet, Get: web.URL, Status: []int{503}}, web.URL + " answered 200 OK"},
		"get body":       {topology.Check{Kind: topology.CheckGet, Get: web.URL, Body: "is f.ne$"}, ""},
		"get other body": {topology.Check{Kind: topology.CheckGet, Get: web.URL, Body: "^fine"}, web.URL + ` answered 200 OK, with nothing that matches "^fine"`},
		"get hangs":      {topology.Check{Kind: topology.CheckGet, Get: web.URL + "/hang", Deadline: 50 * time.Millisecond}, web.URL + "/hang does not answer: not in time"},
		"tcp":            {topology.Check{Kind: topology.CheckTCP, TCP: up}, ""},
		"tcp closed":     {topology.Check{Kind: topology.CheckTCP, TCP: free}, free + " does not accept: connection refused"},
		"grpc":           {topology.Check{Kind: topology.CheckGRPC, GRPC: up}, ""},
		"grpc sick":      {topology.Check{Kind: topology.CheckGRPC, GRPC: up + "/db"}, up + "/db is NOT_SERVING"},
		"grpc unknown":   {topology.Check{Kind: topology.CheckGRPC, GRPC: up + "/x"}, up + "/x does not answer: unknown service"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.check.Deadline == 0 {
				c.check.Deadline = 10 * time.Second
			}
			got := ""
			if err := lookOnce(r, &c.check); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func lookOnce(r *rig, c *topology.Check) error {
	s := satelliteOf("x", "", "")
	s.Health = []*topology.Check{c}
	ctx, cancel := context.WithTimeout(context.Background(), c.Deadline)
	defer cancel()
	x := newExamination(r.Supervisor, &life{of: &instance{ref: ref("x", 0), spec: s}}, c, ctx)
	return x.try(ctx)
}

func TestStuck(t *testing.T) {
	for _, c := range []struct {
		inHand        int
		oldest, since time.Duration
		want          string
	}{
		{0, 0, time.Hour, ""},
		{3, time.Second, time.Hour, ""},
		{3, time.Hour, time.Second, ""},
		{3, 90 * time.Second, 61 * time.Second, "has 3 in hand, the oldest for 1m30s, and has answered none for 1m1s"},
	} {
		got := ""
		if err := stuck(c.inHand, c.oldest, c.since, time.Minute); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
