package web

import (
	"maps"

	"github.com/dsat/dsat/web/control"
)

// operations is what each route is about, by its pattern.
func operations() map[string]operation {
	all := aboutDaemon()
	maps.Copy(all, aboutProcesses())
	maps.Copy(all, aboutMessages())
	maps.Copy(all, aboutWhatIsKept())
	return all
}

func aboutDaemon() map[string]operation {
	return map[string]operation{
		"GET /{$}":   {what: "the status page", answer: "", content: contentHTML},
		"GET /livez": {what: "`ok`: the loops themselves answered", answer: "", content: contentText},
		"GET /readyz": {what: "`ready`, or 503: every wanted instance is ready", answer: control.Ready{}, query: []parameter{
			{"verbose", kindFlag, "JSON, with a sentence for each reason; without it one word of text"},
		}},
		"GET /metrics":           {what: "[metrics](metrics.md)", answer: "", content: contentText},
		"GET /v1/status":         {what: "Status: what runs and what should", answer: control.Status{}},
		"GET /v1/version":        {what: "Version", answer: control.Version{}},
		"POST /v1/plan":          {what: "Plan", answer: control.Plan{}, body: control.ChangeRequest{}},
		"POST /v1/apply":         {what: "Applied", answer: control.Applied{}, body: control.ChangeRequest{}},
		"GET /v1/config/{names}": {what: "a list of Setting", answer: []control.Setting{}},
		"GET /v1/runtime":        {what: "Runtime", answer: control.Runtime{}},
		"POST /v1/down": {what: "`{}`", answer: struct{}{}, query: []parameter{
			{"timeout", kindDuration, "how long the drain may take"},
		}},
		"POST /v1/upgrade": {what: "none when it is done: the connection ends, and another daemon answers the next question", query: []parameter{
			{"binary", kindText, "the program to become; else the one at dsatd's own path"},
			{"timeout", kindDuration, "longest wait for the end of it"},
		}},
		"GET /v1/openapi.json": {what: "this table for programs: OpenAPI 3.1, with the types", answer: map[string]any{}},
	}
}

func aboutProcesses() map[string]operation {
	return map[string]operation{
		"GET /events": {what: "what happens, as server-sent events", answer: control.Event{}, content: contentEvents, query: []parameter{
			{"since", kindText, "only those after this number, or after this id"},
			{"follow", kindText, "0: end after the kept ones"},
		}},
		"GET /v1/doctor": {what: "list of Finding: the machine and the installation", answer: []control.Finding{}},
		"GET /v1/logs/{names}": {what: "LogLine per line", answer: control.LogLine{}, content: linesType, query: []parameter{
			{"n", kindText, "so many of the newest, or all"},
			{"since", kindText, "RFC 3339, or how long ago"},
			{"until", kindText, "RFC 3339, or how long ago"},
			{"grep", kindText, "lines that match (RE2)"},
			{"stream", kindText, "stdout or stderr"},
			{"follow", kindFlag, "go on with the lines to come"},
		}},
		"GET /v1/satellites/{names}/why":     {what: "list of Why: sentences", answer: []control.Why{}},
		"GET /v1/satellites/{names}/history": {what: "list of Death", answer: []control.Death{}},
		"GET /v1/satellites/{names}/wait": {what: "Change, when it is so", answer: control.Change{}, query: []parameter{
			{"for", kindText, "running, ready, healthy, done, stopped, exited or fatal"},
			{"timeout", kindDuration, "longest wait for the end of it"},
		}},
		"GET /v1/satellites/{names}/stats": {what: "list of Stats: what processes have used, and the figures of their `extended_stats` hooks", answer: []control.Stats{}},
		"GET /v1/boot":                     {what: "Boot: how the start of the satellites went, and which waits determined its time", answer: control.Boot{}},
		"GET /v1/sockets":                  {what: "Sockets: what dsatd keeps open for satellites", answer: control.Sockets{}},
		"POST /v1/satellites/{names}/start": {what: "Change", answer: control.Change{}, query: []parameter{
			{"timeout", kindDuration, "longest wait for the end of it"},
		}},
		"POST /v1/satellites/{names}/stop": {what: "Change", answer: control.Change{}, query: []parameter{
			{"timeout", kindDuration, "longest wait for the end of it"},
		}},
		"POST /v1/satellites/{names}/restart": {what: "Change", answer: control.Change{}, query: []parameter{
			{"timeout", kindDuration, "longest wait for the end of it"},
		}},
		"POST /v1/satellites/{names}/scale": {what: "Change", answer: control.Change{}, query: []parameter{
			{"n", kindWhole, "how many are wanted"},
			{"timeout", kindDuration, "longest wait for the end of it"},
		}},
		"POST /v1/satellites/{names}/signal": {what: "Change", answer: control.Change{}, query: []parameter{
			{"signal", kindText, "HUP, SIGHUP or 1"},
		}},
		"POST /v1/satellites/{names}/run": {what: "101: the connection becomes one of `dsat-run`, by which `dsatctl run` hands over its descriptors (`web/control/run.go`)"},
	}
}

func aboutMessages() map[string]operation {
	return map[string]operation{
		"GET /v1/legacy":                {what: "Legacy: the door for satellites of DSAT 0.6, what came and went through it and what was refused why; empty where there is none", answer: control.Legacy{}},
		"GET /v1/queues":                {what: "list of Queue", answer: []control.Queue{}},
		"GET /v1/routes":                {what: "Routes: where messages go, with their conditions and what went over each link", answer: control.Routes{}},
		"POST /v1/queues/{step}/pause":  {what: "QueueChange: its workers are given nothing more", answer: control.QueueChange{}},
		"POST /v1/queues/{step}/resume": {what: "QueueChange: the end of a pause and of a drain", answer: control.QueueChange{}},
		"POST /v1/queues/{step}/drain": {what: "QueueChange: nothing more is let in; with `?wait=30s` when nothing is left, or the wait is over", answer: control.QueueChange{}, query: []parameter{
			{"wait", kindDuration, "answer when it is empty, or after this long"},
		}},
		"POST /v1/queues/{step}/purge": {what: "QueueChange: what waits is cancelled, and how many these were", answer: control.QueueChange{}},
		"GET /v1/tap": {what: "server-sent events: Tapped, or with `?count=1` a list of LinkRate every second", answer: control.Tapped{}, content: contentEvents, query: []parameter{
			{"from", kindText, "the step that puts out"},
			{"to", kindText, "the step that gets"},
			{"sample", kindWhole, "one of so many"},
			{"rate", kindNumber, "at most so many a second"},
			{"cut", kindWhole, "bytes of the payload's JSON"},
			{"count", kindFlag, "a list of LinkRate every second instead"},
		}},
		"GET /v1/tasks/{id}":     {what: "Task", answer: control.Task{}},
		"GET /v1/tasks/{id}/why": {what: "Why: sentences", answer: control.Why{}},
		"POST /v1/send/{step}": {what: "Sent", answer: control.Sent{}, body: octets{}, query: []parameter{
			{"codec", kindText, "what the payload is: raw, text, json, cbor, struct, or a struct with its format"},
			{"wait", kindDuration, "answer when the task has ended, or after this long"},
			{"id", kindText, "taken once where the queue has a window"},
			{"delay", kindDuration, "not before"},
			{"at", kindText, "not before: a time, RFC 3339"},
			{"ttl", kindDuration, "how long its task may take"},
			{"deadline", kindText, "when its task must have ended: RFC 3339"},
			{"priority", kindWhole, "0 to 9, where the queue has levels"},
		}},
		"POST /v1/call/{step}": {what: "Sent; with `stream` CallPart per line", answer: control.Sent{}, body: octets{}, query: []parameter{
			{"codec", kindText, "what the payload is: raw, text, json, cbor, struct, or a struct with its format"},
			{"timeout", kindDuration, "the deadline"},
			{"session", kindText, "all messages of this name go to the same instance"},
			{"lasting", kindFlag, "the task goes on when nobody waits for it any more"},
			{"detach", kindFlag, "answer at once with the id of the reply"},
			{"stream", kindFlag, "outputs as they come: a CallPart per line"},
		}},
		"POST /v1/tasks/{id}/cancel": {what: "Task, as it is then", answer: control.Task{}},
	}
}

func aboutWhatIsKept() map[string]operation {
	return map[string]operation{
		"GET /v1/streams": {what: "list of Stream; `?pattern=`", answer: []control.Stream{}, query: []parameter{
			{"pattern", kindText, "a name, or one with * and ?"},
		}},
		"GET /v1/streams/messages": {what: "one StreamMessage a line (application/x-ndjson), by time; `?pattern=&from=&to=&seq=&where=&limit=`; an answer that is cut off is no whole one", answer: control.StreamMessage{}, content: linesType, query: []parameter{
			{"pattern", kindText, "a name, or one with * and ?"},
			{"from", kindText, "RFC 3339, or how long ago"},
			{"to", kindText, "RFC 3339, or how long ago"},
			{"seq", kindWhole, "from this number on, of one stream"},
			{"where", kindText, "a condition, as on a link"},
			{"limit", kindWhole, "at most so many"},
		}},
		"GET /v1/quarantine": {what: "list of Quarantined, without payloads", answer: []control.Quarantined{}, query: []parameter{
			{"step", kindText, "only of this step"},
			{"reason", kindText, "only those whose reason matches (RE2)"},
		}},
		"GET /v1/quarantine/{id}": {what: "Quarantined, with its payload", answer: control.Quarantined{}},
		"GET /v1/quarantine/export": {what: "a Quarantined with its payload per line (`application/x-ndjson`)", answer: control.Quarantined{}, content: linesType, query: []parameter{
			{"step", kindText, "only of this step"},
			{"reason", kindText, "only those whose reason matches (RE2)"},
		}},
		"GET /v1/journal":         {what: "Journal: the quantities of the log of durable queues, and what was found when it was opened; `streams` has those of the retained streams", answer: control.Journal{}},
		"POST /v1/journal/verify": {what: "JournalVerdict: what reading all of it, and of the streams, has found", answer: control.JournalVerdict{}},
		"POST /v1/journal/backup": {what: "JournalCopy, with the streams; `?to=/PATH` is a new directory on the daemon's machine", answer: control.JournalCopy{}, query: []parameter{
			{"to", kindText, "a new directory on the daemon's machine, by its whole path"},
		}},
		"GET /v1/replies/{id}": {what: "Sent: what came of a detached call", answer: control.Sent{}, query: []parameter{
			{"wait", kindDuration, "answer when it has ended, or after this long"},
		}},
		"POST /v1/replies/{id}/close": {what: "`{}`", answer: struct{}{}},
		"POST /v1/quarantine/{id}/retry": {what: "Changed: the ids it was done to", answer: control.Changed{}, query: []parameter{
			{"step", kindText, "only of this step, where the id is all"},
			{"reason", kindText, "only those whose reason matches (RE2), where the id is all"},
		}},
		"POST /v1/quarantine/{id}/edit": {what: "Quarantined, with its new payload, which is the body", answer: control.Quarantined{}, body: octets{}, query: []parameter{
			{"codec", kindText, "what the payload is: raw, text, json, cbor, struct, or a struct with its format"},
		}},
		"POST /v1/quarantine/{id}/drop": {what: "Changed: the ids it was done to", answer: control.Changed{}, query: []parameter{
			{"step", kindText, "only of this step, where the id is all"},
			{"reason", kindText, "only those whose reason matches (RE2), where the id is all"},
		}},
	}
}
