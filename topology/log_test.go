package topology

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLogKeys(t *testing.T) {
	topo, err := loadText(t, `
[daemon]
log = { file = "/var/log/dsatd.log", format = "json", dir = "logs", total = "1GiB" }

[defaults]
log = { stderr = "joined", to = "journald" }

[satellite.a]
command = "x"
log     = { split = true, to = ["file", "syslog"], rotate = "daily", max_age = "168h", total = "20MiB", compress = "gzip", rate = "100/m", burst = 7, overload = "block", syslog = "udp://logs.example" }

[satellite.b]
command = "x"
log     = { rotate = "90m", syslog = { address = "tcp://[::1]:601", format = "rfc3164", facility = "local7", stderr = "crit" } }
`)
	if err != nil {
		t.Fatal(err)
	}
	if d := topo.Daemon.Log; d.File != "/var/log/dsatd.log" || d.Format != LogJSON || !strings.HasSuffix(d.Dir, "/logs") || d.Total != 1<<30 {
		t.Errorf("%+v", d)
	}
	want := Log{
		Stdout: LogCapture, Stderr: LogCapture, Split: true, To: []LogSink{LogFile, LogSyslog}, Format: LogText, MaxSize: 10 << 20,
		Rotate: LogRotate{Calendar: "daily"}, Keep: 3, MaxAge: 168 * time.Hour, Total: 20 << 20, Compress: LogGzip, Ring: 64 << 10,
		Rate: LogRate{100, time.Minute}, Burst: 7, Overload: LogBlock,
		Syslog: Syslog{Address: "udp://logs.example:514", Format: "rfc5424", Facility: "daemon", Stdout: "info", Stderr: "err"},
	}
	if d := cmp.Diff(want, topo.Satellite("a").Log); d != "" {
		t.Error(d)
	}
	b := topo.Satellite("b").Log
	if d := cmp.Diff(Syslog{"tcp://[::1]:601", "rfc3164", "local7", "info", "crit"}, b.Syslog); d != "" || b.Rotate.Every != 90*time.Minute || b.To[0] != LogJournald {
		t.Error(d, b)
	}
}

func TestLogKeysThatAreWrong(t *testing.T) {
	for said, want := range map[string]string{
		`split = true, stderr = "joined"`:    "stderr cannot be joined to stdout and have files of its own",
		`to = ["file", "files"]`:             `log.to wants a list of "file", "syslog", "journald", not "files"`,
		`to = "/var/log/x"`:                  "daemon.log.dir",
		`to = ["file", "file"]`:              `log.to names "file" twice`,
		`rotate = "weekly"`:                  `log.rotate wants "daily", "hourly", "never" or a duration like "24h", not "weekly"`,
		`rotate = "10ms"`:                    "log.rotate cannot be shorter than 1s",
		`rate = "1000"`:                      `log.rate wants lines per second, minute or hour like "1000/s"`,
		`rate = "0/s"`:                       "log.rate wants",
		`rate = 1000`:                        "log.rate wants",
		`burst = 5`:                          "log.burst means nothing without log.rate",
		`total = "1MiB"`:                     "log.total (1MiB) is less than log.max_size (10MiB)",
		`compress = "zstd"`:                  "log.compress wants",
		`syslog = "http://x"`:                "log.syslog.address wants",
		`syslog = "udp://:514"`:              "log.syslog.address wants",
		`syslog = { facility = "local8" }`:   "log.syslog.facility wants",
		`syslog = { address = "/dev/", x=1}`: "unknown key \"x\"",
	} {
		_, err := loadText(t, "[satellite.a]\ncommand = \"x\"\nlog = { "+said+" }\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", said, err)
		}
	}
}
