package topology

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

const probeVertex = `{
  "where": "host1", "debug": true, "max_retry": 2, "csvw_port": 9558, "ext_ip": "127.0.0.1", "master_ip": "127.0.0.1", "circus_cfg": "edge.ini",
  "cnx": {
    "SUB_orchester_master": "tcp://%(master_ip)s:9563",
    "PUSH_any_orchester": "tcp://%(ext_ip)s:9576",
    "PUSH_any_TRACKER": "ipc://tracker_in",
    "PUB_tracker_any": "ipc://tracker_out",
    "PUSH_orchester_cpu": "ipc://_burn",
    "PUSH_cpu_csvw": "tcp://%(ext_ip)s:%(csvw_port)s",
    "PUSH_cpu_cpu_clock": "ipc://x"
  },
  "logging": { "version": 1 }
}`

const probeEdge = `[circus]
check_delay = 1
; a comment
[watcher:tracker]
cmd = /usr/bin/env python
singleton = True

[watcher:csvw]
cmd = /usr/bin/env python
args = csvw.py ./vertex.json
    ./local_mod.json
priority = 0
numprocesses = 1
singleton = True

[watcher:cpu]
cmd: /usr/bin/env python
args = cpu.py "./vertex.json" ./local_mod.json $(circus.wid) $HOME
priority = 2
numprocesses = 3
copy_env = True
working_dir = /srv/probe
graceful_timeout = 5

[watcher:master]
cmd = /usr/bin/env python master.py
singleton = True
`

const probeWant = `# Written from vertex.json and what Circus had of it. dsatd is orchester, tracker and Circus; docs/legacy.md tells the rest.
# Look it through, then: dsatd check

dsat = 1

[bus.v1]
where = "host1"
variables = { csvw_port = "9558", ext_ip = "127.0.0.1", master_ip = "127.0.0.1" }

[bus.v1.links]
# PUB_tracker_any: all in lower case, as DSAT 0.5 has it, where tracker bound it
PUB_TRACKER_any = "ipc://tracker_out"
PUSH_any_TRACKER = "ipc://tracker_in"
# PUSH_any_orchester: all in lower case, as DSAT 0.5 has it, where orchester bound it
PUSH_any_ORCHESTER = "tcp://%(ext_ip)s:9576"
# look: "PUSH_cpu_cpu_clock" is no name of a link: it wants SCHEME_source_destination, with exactly two _
PUSH_cpu_cpu_clock = "ipc://x"
# PUSH_cpu_csvw: all in lower case, as DSAT 0.5 has it, where csvw bound it
PUSH_cpu_CSVW = "tcp://%(ext_ip)s:%(csvw_port)s"
# PUSH_orchester_cpu: all in lower case, as DSAT 0.5 has it, where orchester bound it
PUSH_ORCHESTER_cpu = "ipc://_burn"
# SUB_orchester_master: all in lower case, as DSAT 0.5 has it, where master bound it
SUB_orchester_MASTER = "tcp://%(master_ip)s:9563"

[satellite.cpu]
command = "/usr/bin/env python cpu.py \"./vertex.json\" ./local_mod.json ${instance} $$HOME"
speaks  = "v1"
to = ["csvw"]
instances = 3
cwd = "/srv/probe"
env_inherit = ["*"]
# look: graceful_timeout = 5

[satellite.csvw]
command = "/usr/bin/env python csvw.py ./vertex.json ./local_mod.json"
speaks  = "v1"

[satellite.master]
command = "/usr/bin/env python master.py"
speaks  = "v1"
`

func TestFromDSAT(t *testing.T) {
	read := func(path string) ([]byte, error) {
		if path != filepath.Join("/srv/probe", "edge.ini") {
			return nil, fs.ErrNotExist
		}
		return []byte(probeEdge), nil
	}
	got, err := FromDSAT([]byte(probeVertex), "/srv/probe", read)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != probeWant {
		t.Errorf("wrote\n%s", got)
	}
	// What is left to say is said by check.
	topo, err := loadText(t, strings.Replace(string(got), "PUSH_cpu_cpu_clock =", "#", 1))
	if err != nil {
		t.Fatal(err)
	}
	if topo.Satellite("cpu").Speaks != SpeaksV1 || topo.Satellite("cpu").Command[5] != "${instance}" || topo.Satellite("cpu").Command[6] != "$HOME" || len(topo.V1.Open) != 6 {
		t.Errorf("%+v", topo.Satellite("cpu").Command)
	}
}

func TestFromDSATRefuses(t *testing.T) {
	for _, c := range []struct{ vertex, edge, want string }{
		{"", "", "cannot read vertex.json"},
		{"[]", "", "cannot read vertex.json"},
		{`{"cnx": 1}`, "", "no links"},
		{`{"cnx": {}}`, "", "no links"},
		{`{"cnx": {"PUSH_a_B": 1}}`, "", "is no string"},
		{`{"cnx": {"PUSH_a_B": "x"}}`, "gone", "the file of Circus"},
		{`{"cnx": {"PUSH_a_B": "x"}}`, "[watcher:x", "line 1: a section is not closed"},
		{`{"cnx": {"PUSH_a_B": "x"}}`, "[watcher:x]\nhuh", "line 2: it is no key = value"},
	} {
		_, err := FromDSAT([]byte(c.vertex), "/srv", func(string) ([]byte, error) {
			if c.edge == "gone" {
				return nil, errors.New("gone")
			}
			return []byte(c.edge), nil
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %q: %v, want %q", c.vertex, c.edge, err, c.want)
		}
	}
}

// Whatever the two files hold, what is written can be read: it may be wrong, but is no broken TOML.
func FuzzFromDSAT(f *testing.F) {
	f.Add(probeVertex, probeEdge)
	f.Add("{\"where\": \"\\u0000\\n\", \"cnx\": {\"PUSH_a\\\"_B\": \"%(x)s\\u001b\", \"\": \"\"}, \"x\": 1e9}", "[watcher: A\tb\x01]\ncmd=\x7f\r\nx\x02=y\x03\n[watcher:A.b]\n[watcher:a]\n[watcher:A]")
	f.Fuzz(func(t *testing.T, vertex, edge string) {
		got, err := FromDSAT([]byte(vertex), "/srv", func(string) ([]byte, error) { return []byte(edge), nil })
		if err != nil {
			return
		}
		if _, err := parse(newSource("t", "/t", 0, got)); err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
	})
}
