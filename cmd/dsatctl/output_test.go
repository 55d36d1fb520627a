package main

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dsat/dsat/web/control"
)

var update = flag.Bool("update", false, "write the golden files and docs/dsatctl.md anew")

// outputs are all tables and texts; testdata/NAME.txt holds what is expected.
var outputs = []struct {
	name    string
	args    string
	handler http.HandlerFunc
	code    int
}{
	{"status", "", always(probe()), 0},
	{"status-verbose", "ps -v", always(probe()), 0},
	{"status-some", "status cl* cpu:1", always(probe()), 0},
	{"status-empty", "ls", always(&control.Status{Name: "new", PID: 7, State: "starting", Since: ago(time.Second)}), 0},
	{"status-unbalanced", "status", always(&control.Status{Name: "new", PID: 7, State: "running", Ready: true, Since: ago(90 * time.Second),
		Ledger: &control.Ledger{Admitted: 2, Done: 1}}), 0},
	{"status-unknown", "status clok", always(probe()), 4},
	{"restart", "restart cpu,web --timeout 1m", answers(map[string]any{"POST /v1/satellites/cpu,web/restart?timeout=1m0s": control.Change{
		Instances: []control.ChangedInstance{{Name: "cpu", State: "running", PID: 12}, {Name: "cpu", WID: 10, State: "running", PID: 12345}}}}), 0},
	{"start-partly", "start *", answers(map[string]any{"POST /v1/satellites/*/start": control.Change{Instances: []control.ChangedInstance{
		{Name: "cpu", State: "running", PID: 12}, {Name: "web", State: "fatal", Error: "cannot start: no such file"}}}}), 1},
	{"stop-unknown", "stop cpuu", always(&control.Error{Kind: control.KindNotFound, Message: `cannot find "cpuu"`, Suggest: []string{"cpu", "cpu:0"}}), 4},
	{"stop-late", "stop cpu", always(&control.Error{Kind: control.KindTimeout, Message: "cannot stop cpu in time"}), 124},
	{"stop-denied", "stop cpu", always(&control.Error{Kind: control.KindDenied, Message: "cannot stop cpu: reading only"}), 5},
	{"scale", "scale cpu 0", answers(map[string]any{"POST /v1/satellites/cpu/scale?n=0": control.Change{}}), 0},
	{"signal", "signal HUP cpu:0 web", answers(map[string]any{"POST /v1/satellites/cpu:0,web/signal?signal=HUP": control.Change{
		Instances: []control.ChangedInstance{{Name: "cpu", State: "running", PID: 12}}}}), 0},
	{"logs", "logs cpu -n 2", answers(map[string]any{"GET /v1/logs/cpu?n=2": `{"name":"cpu","wid":0,"text":"\u001b[1mloud"}` + "\n" + `{"name":"cpu","wid":1,"text":"b","lost":4}` + "\n"}), 0},
	{"logs-one", "logs cpu:0", answers(map[string]any{"GET /v1/logs/cpu:0?n=100": `{"name":"cpu","text":"as it was"}`}), 0},
	{"logs-followed", "logs -f cpu:0", answers(map[string]any{"GET /v1/logs/cpu:0?follow=1&n=100": `{"name":"cpu","text":"last words"}` + "\n"}), 3},
	{"events", "events --since 4", answers(map[string]any{"GET /events?follow=0&since=4": events}), 0},
	{"send", "send csv {}", answers(map[string]any{"POST /v1/send/csv": control.Sent{Task: "1-7", State: "accepted"}}), 0},
	{"send-wait", "send csv {} --codec json -w", answers(map[string]any{"POST /v1/send/csv?codec=json&wait=30s": control.Sent{
		Task: "1-7", State: "done", Results: []control.Body{{Text: "{\"a\":1}\n"}, {Text: "two"}}}}), 0},
	{"send-failed", "send csv {} --wait --timeout 2s", answers(map[string]any{"POST /v1/send/csv?wait=2s": control.Sent{
		Task: "1-7", State: "failed", Reason: "csv: cannot read"}}), 1},
	{"send-late", "send csv {} --wait", always(control.Sent{Task: "1-7", State: "running"}), 124},
	{"call", "call upper hello --codec text", answers(map[string]any{"POST /v1/call/upper?codec=text&stream=1&timeout=30s": `{"result":{"text":"HELLO"}}` + "\n" +
		`{"result":{"text":"two\u001b\n"}}` + "\n" + `{"end":{"task":"1.7","state":"done"}}` + "\n"}), 0},
	{"call-failed", "call csv {} --timeout 2s --lasting", answers(map[string]any{"POST /v1/call/csv?lasting=1&stream=1&timeout=2s": control.CallPart{End: &control.Sent{
		Task: "1.7", State: "failed", Reason: "csv: cannot read\x1b"}}}), 1},
	{"call-expired", "call csv {}", always(control.CallPart{End: &control.Sent{Task: "1.7", State: "expired", Reason: "no answer in time"}}), 124},
	{"call-lost", "call csv {} --session abc", answers(map[string]any{"POST /v1/call/csv?session=abc&stream=1&timeout=30s": control.CallPart{End: &control.Sent{
		Task: "1.7", State: "lost", Reason: "its session with csv:0 is lost: killed by SIGKILL"}}}), 1},
	{"call-omitted", "call csv {}", always(control.CallPart{End: &control.Sent{Task: "1.7", State: "done", Omitted: 1200}}), 1},
	{"call-cut", "call csv {}", always(`{"result":{"text":"HELLO"}}`), 3},
	{"call-error", "call csv {}", always(control.CallPart{Error: &control.Error{Kind: control.KindUnavailable, Message: "cannot wait for the answer: dsatd is being replaced; ask again"}}), 3},
	{"call-detached", "call csv {} --detach --timeout 1h", answers(map[string]any{"POST /v1/call/csv?detach=1&timeout=1h0m0s": control.Sent{Task: "1.7", State: "accepted"}}), 0},
	{"reply", "reply 1.7 --wait", answers(map[string]any{"GET /v1/replies/1.7?wait=30s": control.Sent{Task: "1.7", State: "done", Results: []control.Body{{Text: "a"}, {Text: "b\n"}}}}), 0},
	{"reply-running", "reply 1.7", answers(map[string]any{"GET /v1/replies/1.7": control.Sent{Task: "1.7", State: "running"}}), 124},
	{"reply-lost", "reply 1.7", always(control.Sent{Task: "1.7", State: "lost", Reason: "what was left of its task did not survive the end of dsatd"}), 1},
	{"reply-none", "reply 1.7", always(&control.Error{Kind: control.KindNotFound, Message: "cannot find a reply for 1.7"}), 4},
	{"reply-close", "reply 1.7 --close", answers(map[string]any{"POST /v1/replies/1.7/close": "{}"}), 0},
	{"call-what", "call", always("{}"), 2},
	{"call-too-much", "call csv a b", always("{}"), 2},
	{"task-cancel", "task 1-7 --cancel", answers(map[string]any{"POST /v1/tasks/1-7/cancel": control.Task{ID: "1-7", State: "failed", Hops: []control.Hop{
		{ID: "1-8", Step: "csv", State: "cancelled", Attempts: 1, Age: 0.25, Reason: "cancelled on request"}}}}), 0},
	{"task", "task 1-7", answers(map[string]any{"GET /v1/tasks/1-7": control.Task{ID: "1-7", State: "running", Open: 1, Hops: []control.Hop{
		{ID: "7.7", Step: "cpu", State: "done", Instance: "cpu:1", Attempts: 2, Age: 65.2},
		{ID: "7.11", Step: "csv", State: "held", Attempts: 1, Age: 0.25, Reason: "disk full"}},
		Results: []control.Body{{Text: "x\x1by"}, {Base64: []byte{0, 1, 2}}}}}), 0},
	{"task-trace", "task 1.7 --trace", answers(map[string]any{"GET /v1/tasks/1.7": traced}), 0},
	{"queues", "queues", answers(map[string]any{"GET /v1/queues": []control.Queue{
		{Step: "cpu", Delivery: "tracked", Waiting: 12345, Bytes: 1536, InFlight: 3, OldestAge: 3725, Workers: 2, Blocked: true, Ledger: control.Ledger{Done: 9}, Blocks: []string{"clock"},
			Limit: &control.QueueLimit{Messages: 12345, Bytes: 1 << 20, Full: "block"}, Rate: &control.QueueRate{In10s: 1234.5, Out10s: 0.25, In1m: 99, Out1m: 1}},
		{Step: "clock", Delivery: "tracked", Waiting: 1, BlockedBy: []string{"cpu"}},
		{Step: "csv", Delivery: "tracked", Bytes: 64 << 20, Quarantine: 2}}}), 0},
	{"queues-verbose", "queues -v", answers(map[string]any{"GET /v1/queues": []control.Queue{
		{Step: "cpu", Delivery: "tracked", Waiting: 12345, Bytes: 1536, Blocked: true, Blocks: []string{"clock", "net"}, Breaker: "closed",
			Limit: &control.QueueLimit{Messages: 20000, Bytes: 1 << 20, Full: "block"}, Rate: &control.QueueRate{In1m: 99, Out1m: 1}},
		{Step: "clock", Delivery: "tracked", Waiting: 1, Bytes: 512, BlockedBy: []string{"cpu"}, Limit: &control.QueueLimit{Messages: 100000, Bytes: 1024, Full: "drop-oldest"}, Rate: &control.QueueRate{}}}}), 0},
	{"route", "route show", answers(map[string]any{"GET /v1/routes": routed}), 0},
	{"route-some", "route show n*", answers(map[string]any{"GET /v1/routes": routed}), 0},
	{"route-none", "route show cup", answers(map[string]any{"GET /v1/routes": routed}), 4},
	{"route-bare", "route", answers(map[string]any{"GET /v1/routes": control.Routes{}}), 0},
	{"route-set-what", "route set cpu alarm", always("{}"), 2},
	{"route-mirror-which", "route mirror cpu audit", answers(map[string]any{"GET /v1/routes": routed}), 2},
	{"sockets", "sockets", answers(map[string]any{"GET /v1/sockets": control.Sockets{
		Sockets: []control.Socket{
			{Name: "web", Network: "tcp", Address: "127.0.0.1:8080", State: "open", FD: 9, Satellites: []string{"shop"}, Holders: []string{"shop:0", "shop:1"}, Waiting: 3, Backlog: 4096},
			{Name: "admin", Network: "unix", Address: "/run/\x1b[2J.sock", State: "on-demand", FD: 10, Satellites: []string{"admin"}, Listening: []string{"admin:0"}, Backlog: 5},
			{Name: "shard", Network: "udp", Address: "127.0.0.1:9001", State: "open", FD: 11, Instance: "shard:1", Holders: []string{"shard:1"}, Waiting: 1},
			{Name: "own", Network: "tcp", Address: ":80", State: "closed", FD: -1, Backlog: 4096}},
		Stored: []control.Stored{{Instance: "shop:0", Names: []string{"stored", "client"}}}}}), 0},
	{"stats", "stats", answers(map[string]any{"GET /v1/satellites/*/stats": []control.Stats{
		{Name: "shop", PID: 7301, Uptime: 3725, CPU: 12.5, RSS: 64 << 20, Figures: map[string]float64{"queue": 3, "cache.hits": 1234567.5}},
		{Name: "shop", WID: 1}, {Name: "csv", PID: 7302, Uptime: 2, RSS: 1 << 20, Problem: "exit code 3 (its last line: \x1b[2J)"}}}), 0},
	{"boot", "status --boot", answers(map[string]any{"GET /v1/boot": booted}), 0},
	{"boot-some", "status --boot site", answers(map[string]any{"GET /v1/boot": booted, "GET /v1/status": control.Status{Satellites: []control.Satellite{
		{Name: "csv", Instances: []control.Instance{{}}}, {Name: "site", Instances: []control.Instance{{}}}}}}), 0},
	{"boot-none", "status --boot", answers(map[string]any{"GET /v1/boot": control.Boot{}}), 0},
	{"legacy", "legacy", answers(map[string]any{"GET /v1/legacy": control.Legacy{Where: "here", Ports: []control.LegacyPort{
		{Links: []string{"PUSH_any_ORCHESTER"}, Endpoint: "tcp://127.0.0.1:9576", Socket: "PULL", Bound: true, End: "orchester", In: 12345, Waiting: 3, Paused: true,
			Malformed: map[string]uint64{"parts": 2}, Refused: map[string]uint64{"type": 1, "where": 10}, Last: "no step is called \x1b[2J"},
		{Links: []string{"PUSH_orchester_CPU"}, Endpoint: "ipc:///run/cpu", Socket: "PUSH", End: "orchester", Out: 17}},
		Steps: []control.LegacyStep{{Name: "clock", Lives: []control.LegacyLife{{Instance: "clock:0", PID: 4711, Silent: 3725}}},
			{Name: "cpu", Fed: true, Open: true, Sent: 4, Handled: 1, Doubted: 2, Errors: 1, Late: 2, Twice: 12, Lives: []control.LegacyLife{{Instance: "cpu:0", PID: 815, Handled: 1}}}}}}), 0},
	{"legacy-none", "legacy", always(control.Legacy{}), 0},
	{"sockets-none", "sockets", always(control.Sockets{}), 0},
	{"queues-none", "queues", always("[]"), 0},
	{"quarantine", "quarantine --step csv", answers(map[string]any{"GET /v1/quarantine?step=csv": []control.Quarantined{
		{ID: "17", Step: "csv", Task: "1-7", Time: ago(time.Minute), Attempts: 5, Crashes: 2, Size: 2048, Reason: "2 processes died on it"}}}), 0},
	{"quarantine-empty", "quarantine list", always("[]"), 0},
	{"quarantine-show", "quarantine show 17", answers(map[string]any{"GET /v1/quarantine/17": control.Quarantined{
		ID: "17", Step: "csv", Task: "1-7", Time: ago(time.Minute), Attempts: 5, Crashes: 2, Size: 5, Reason: "2 processes died on it",
		Evidence: []string{"killed by signal 11 (SIGSEGV)", "csv:0 | boom\x07"}, Payload: &control.Body{Text: "hello"}}}), 0},
	{"tap", "tap csv -n 2", answers(map[string]any{"GET /v1/tap?to=csv": tappedOnes}), 0},
	{"tap-link", "tap cpu csv --sample 2 --rate 0.5 --cut 9 -n 1 --json", answers(map[string]any{"GET /v1/tap?cut=9&from=cpu&rate=0.5&sample=2&to=csv": tappedOnes}), 0},
	{"tap-count", "tap --count -n 2", answers(map[string]any{"GET /v1/tap?count=1": ": alive\n\nevent: count\ndata: " +
		`[{"from":"cpu","to":"csv","messages":12345,"bytes":4096,"rate":12340.2},{"to":"cpu","messages":1,"bytes":10,"rate":1}]` + "\n\nevent: count\ndata: []\n\n"}), 0},
	{"tap-ended", "tap csv", answers(map[string]any{"GET /v1/tap?to=csv": tappedOnes}), 3},
	{"tap-nothing", "tap", always("{}"), 2},
	{"quarantine-show-json", "quarantine show 17", answers(map[string]any{"GET /v1/quarantine/17": control.Quarantined{
		ID: "17", Step: "csv", Task: "1-7", Time: ago(time.Minute), Attempts: 5, Size: 9, Codec: "cbor", Reason: "no field load1",
		Payload: &control.Body{Codec: "cbor", Base64: []byte{0xa1}, JSON: []byte(`{"load":[1,2.5]}`)}}}), 0},
	{"quarantine-chosen", "quarantine --reason disk.full", answers(map[string]any{"GET /v1/quarantine?reason=disk.full": []control.Quarantined{
		{ID: "17", Step: "csv", Task: "1-7", Time: ago(time.Minute), Attempts: 5, Reason: "disk full"}}}), 0},
	{"quarantine-export", "quarantine export --step csv", answers(map[string]any{"GET /v1/quarantine/export?step=csv": `{"id":"17","payload":{"json":{"a":1}}}` + "\n" + `{"id":"18"}` + "\n"}), 0},
	{"quarantine-edit", "quarantine edit 17 {} --codec json --retry", answers(map[string]any{
		"POST /v1/quarantine/17/edit?codec=json": control.Quarantined{ID: "17", Codec: "cbor", Size: 1}, "POST /v1/quarantine/17/retry": control.Changed{IDs: []string{"17"}}}), 0},
	{"quarantine-edit-much", "quarantine edit 17 {} {}", always("{}"), 2},
	{"quarantine-edit-none", "quarantine edit", always("{}"), 2},
	{"quarantine-left", "quarantine retry all", answers(map[string]any{"POST /v1/quarantine/all/retry": control.Changed{IDs: []string{"7.17"}, Left: 1200,
		Why: "cannot retry message 7.18: the queue of csv is full; try again when it has room"}}), 1},
	{"quarantine-retry", "quarantine retry all --step csv", answers(map[string]any{"POST /v1/quarantine/all/retry?step=csv": control.Changed{IDs: []string{"7.17", "7.18"}}}), 0},
	{"quarantine-drop", "quarantine drop 17 18", answers(map[string]any{"POST /v1/quarantine/17/drop": control.Changed{IDs: []string{"17"}},
		"POST /v1/quarantine/18/drop": &control.Error{Kind: control.KindNotFound, Message: "cannot find message 18"}}), 4},
	{"quarantine-mixed", "quarantine drop all 18", always("{}"), 2},
	{"journal", "journal", answers(map[string]any{"GET /v1/journal": control.Journal{
		Dir: "/state/journal", Segments: 3, Bytes: 130 << 20, Pending: 2048, Oldest: 1001, Last: 54321, Committed: 54311, Records: 12345, Written: 3 << 20, Groups: 100, Syncs: 101,
		SyncMean: 0.00042, SyncP50: 0.000256, SyncP99: 0.004096, Largest: 900, Released: 2, Failures: 1, Full: true, Fault: "no room\x1b[2J",
		Found: &control.JournalFound{Segments: 2, Records: 41976, Tail: 12, Torn: 300, Lost: 2, Damage: []control.JournalDamage{
			{Segment: "00000002-0000000000001000.seg", Offset: 4711, Bytes: 96, Records: 2, After: 1007, Reason: "the checksum is wrong", Aside: "/state/journal/aside/x.seg"}}, Strange: []string{"note.txt"}}}}), 0},
	{"journal-streams", "journal stats", answers(map[string]any{"GET /v1/journal": control.Journal{Streams: []control.Journal{
		{Stream: "probe/cpu", Dir: "/state/streams/probe%2Fcpu", Segments: 1, Bytes: 4096, Oldest: 1, Last: 20, Committed: 18, Pending: 100, Fault: "no room", Found: &control.JournalFound{}},
		{Stream: "probe/net", Dir: "/state/streams/probe%2Fnet", Segments: 2, Bytes: 8192, Oldest: 7, Last: 9, Committed: 9, Found: &control.JournalFound{Segments: 2, Records: 3}}}}}), 0},
	{"journal-verify-streams", "journal verify", answers(map[string]any{"POST /v1/journal/verify": control.JournalVerdict{Dir: "/state/journal", Segments: 3, Records: 5000, Tail: 2, Bytes: 1 << 20, First: 1, Last: 5000,
		Streams: []control.JournalVerdict{{Stream: "probe/cpu", Dir: "/state/streams/probe%2Fcpu", Segments: 1, Records: 9, Bytes: 900, First: 1, Last: 10, Lost: 1,
			Damage: []control.JournalDamage{{Segment: "00000002-0000000000001000.seg", Offset: 47, Bytes: 96, Records: 1, After: 7, Reason: "the checksum is wrong"}}}}}}), 1},
	{"journal-backup-streams", "journal backup /b", answers(map[string]any{"POST /v1/journal/backup?to=%2Fb": control.JournalCopy{
		Streams: []control.JournalCopy{{Stream: "probe/cpu", Dir: "/b/streams/probe%2Fcpu", Segments: 1, Bytes: 900, Last: 10}}}}), 0},
	{"flag-number", "tap --rate x", always("{}"), 2},
	{"flag-duration", "status --timeout 5", always("{}"), 2},
	{"journal-none", "journal stats", always(&control.Error{Kind: control.KindNotFound, Message: "cannot find a journal: no queue is durable"}), 4},
	{"journal-verify", "journal verify", answers(map[string]any{"POST /v1/journal/verify": control.JournalVerdict{Dir: "/state/journal", Segments: 3, Records: 5000, Bytes: 1 << 20, First: 1, Last: 5000}}), 0},
	{"journal-damaged", "journal verify", answers(map[string]any{"POST /v1/journal/verify": control.JournalVerdict{Dir: "/state/journal", Segments: 3, Records: 4998, Bytes: 1 << 20, First: 1, Last: 5000, Lost: 2, Torn: 99,
		Damage:  []control.JournalDamage{{Segment: "2.seg", Offset: 64, Bytes: 96, Records: 2, After: 10, Reason: "the disk cannot read it"}},
		Padding: []control.JournalDamage{{Segment: "1.seg", Offset: 64, Reason: "padding was changed"}}, Aside: []string{"2.seg"}}}), 1},
	{"journal-verify-nothing", "journal verify /nowhere/journal", always("{}"), 1},
	{"journal-backup", "journal backup /backup/monday", answers(map[string]any{"POST /v1/journal/backup?to=%2Fbackup%2Fmonday": control.JournalCopy{Dir: "/backup/monday", Segments: 3, Linked: 2, Bytes: 130 << 20, Last: 54311}}), 0},
	{"why", "why csv", answers(map[string]any{"GET /v1/satellites/csv/why": []control.Why{
		{Name: "csv:0", State: "backoff", Text: []string{"It is backoff.", "It is started again at 12:00:03, in 1.2s."}},
		{Name: "csv", Text: []string{"csv gets nothing: no session is up\x1b[2J."}}}}), 0},
	{"why-task", "why csv:0 7.40", answers(map[string]any{
		"GET /v1/satellites/csv:0/why": []control.Why{{Name: "csv:0", State: "running", Text: []string{"It is running."}}},
		"GET /v1/tasks/7.40/why":       control.Why{Name: "task 7.40", State: "running", Text: []string{"It goes on.", "7.41 is in the hands of csv:0."}}}), 0},
	{"history", "history csv -v", answers(map[string]any{"GET /v1/satellites/csv/history": deaths}), 0},
	{"history-none", "history csv", always("[]"), 0},
	{"wait", "wait csv --for exited --timeout 2s", answers(map[string]any{"GET /v1/satellites/csv/wait?for=exited&timeout=2s": control.Change{
		Instances: []control.ChangedInstance{{Name: "csv", State: "exited"}}}}), 0},
	{"wait-late", "wait csv", always(&control.Error{Kind: control.KindTimeout, Message: "cannot wait longer for running: csv:0 is fatal"}), 124},
	{"wait-wrong", "wait csv --for backoff", always("{}"), 2},
	{"typo", "restrat cpu", always("{}"), 2},
	{"typo-below", "quarantine lsit", always("{}"), 2},
	{"typo-far", "frobnicate", always("{}"), 2},
	{"missing", "scale cpu", always("{}"), 2},
	{"too-much", "task 1 2 3", always("{}"), 2},
	{"no-number", "scale cpu many", always("{}"), 2},
	{"unknown-flag", "status --jsno", always("{}"), 2},
	{"not-dsatd", "status", always("<html>"), 1},
}

// traced is a task of which one message was done, one failed twice and is in hand again, one waits and one was set aside.
var traced = control.Task{ID: "1.7", State: "running", Open: 2, Began: ago(10 * time.Second), Hops: []control.Hop{
	{ID: "1.8", Step: "cpu", State: "done", Attempts: 1, Age: 2, Ended: 2, Tries: []control.Try{{Instance: "cpu:0", Sent: 1, Ended: 2}}},
	{ID: "1.9", Step: "csv", From: "cpu", State: "in_flight", Attempts: 3, Admitted: 2, Age: 8, Tries: []control.Try{
		{Instance: "csv:0", Sent: 2, Ended: 2.0005, Failed: "disk full\x1b[2J"}, {Instance: "csv:1", Sent: 4, Ended: 5.5, Failed: "the process ended: killed"}, {Instance: "csv:0", Sent: 7}}},
	{ID: "1.10", Step: "far", From: "cpu", State: "waiting", Admitted: 2, Age: 8},
	{ID: "1.11", Step: "bad", From: "cpu", State: "quarantined", Admitted: 2, Age: 0.0001, Ended: 2.0001, Reason: "queue full"}}}

// booted is a start that goes on: one was ready at once, one waited for it and for a place, one fails, one waits.
var booted = control.Boot{Began: ago(time.Minute), Total: 2.5, StartConcurrency: 2, Chain: []string{"site:0", "csv:0"}, Instances: []control.BootInstance{
	{Name: "csv:0", State: "ready", Opened: s(0.001), Spawned: s(0.002), Ready: s(1.5), Took: 1.499, Spawns: 1},
	{Name: "site:0", State: "ready", Opened: s(1.75), Spawned: s(1.751), Ready: s(2.5), Took: 0.75, Spawns: 2, Waits: []control.BootWait{
		{For: "csv:ready", From: 0, Until: s(1.5)}, {For: "place", By: []string{"a:0", "b:0"}, From: 1.5, Until: s(1.75)}}},
	{Name: "bad:0", State: "failed", Opened: s(0), Spawned: s(0)},
	{Name: "late:0", State: "waiting", Waits: []control.BootWait{{For: "bad:ready\x1b[2J"}}},
}}

func s(at float64) *float64 { return &at }

// deaths are a crash with its last words, one that was asked for, and a failed start.
var deaths = []control.Death{
	{Name: "csv", PID: 7301, Time: ago(time.Hour), Cause: "killed by signal 11 (SIGSEGV), core dumped", Signal: 11, Core: true, Uptime: 3725, User: 1.5,
		System: 0.75, MaxRSS: 20 << 20, Last: []string{"about to fail", "boom\x07"}},
	{Name: "csv", WID: 10, PID: 73010, Time: ago(time.Minute), Asked: true, Cause: "exit code 0", Uptime: 0.25, User: 0.01, MaxRSS: 512},
	{Name: "csv", Time: ago(time.Second), Cause: "cannot execute x: no such file"},
}

const tappedOnes = `event: message
data: {"time":"2026-03-04T11:59:00.5Z","id":"7.41","task":"7.40","from":"cpu","to":"csv","instance":"csv:0","attempt":1,"age":0.0021,"codec":"json","size":14,"payload":{"load1":"\\u001b"}}

event: message
data: {"time":"2026-03-04T11:59:00.6Z","id":"7.43","task":"7.42","to":"csv","instance":"csv:1","attempt":2,"age":65,"codec":"raw","size":4096,"cut":"{\"base64\"","skipped":3,"lost":1200}

`

const events = `id: 1-5
data: {"seq":5,"time":"2026-03-04T11:59:00.5Z","kind":"state","satellite":"cpu","wid":1,"from":"running","to":"backoff","cause":"exit code 3"}

id: 1-9
data: {"seq":9,"time":"2026-03-04T11:59:01Z","kind":"daemon","cause":"ready"}

`

func TestOutput(t *testing.T) {
	time.Local = time.UTC
	for _, c := range outputs {
		t.Run(c.name, func(t *testing.T) {
			dir := serve(t, c.handler)
			got := dsatctl(t, "", strings.Fields(c.args)...)
			if got.code != c.code {
				t.Errorf("dsatctl %s exited with %d, want %d", c.args, got.code, c.code)
			}
			whole := "$ dsatctl " + c.args + "\n" + got.out
			if got.errs != "" {
				whole += "--- stderr\n" + got.errs
			}
			golden(t, filepath.Join("testdata", c.name+".txt"), strings.ReplaceAll(whole, dir, "RUN"))
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not as expected; if it is better: go test -run %s -update ./cmd/dsatctl\n%s", path, t.Name(), diff)
	}
}
