package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dsat/dsat/supervisor"
	"github.com/dsat/dsat/topology"
	"github.com/dsat/dsat/web/control"
)

// inquiry is what is known when somebody asks why.
type inquiry struct {
	topology   *topology.Topology
	satellites map[string]supervisor.SatelliteStatus
	queues     map[string]control.Queue
	reasons    map[string][]string // of steps that give nothing to their workers
	deaths     []supervisor.Death  // oldest first
	strains    func(topology.Ref) []supervisor.Strain
	now        time.Time
}

// why answers in plain sentences why the named instances are as they are; with the queue of a satellite that is named as a whole.
func (s *Server) why(w http.ResponseWriter, r *http.Request) error {
	names := r.PathValue("names")
	refs, err := s.cfg.Supervisor.Select(names)
	if err != nil {
		return err
	}
	deaths, err := s.cfg.Supervisor.Deaths(refs)
	if err != nil {
		return err
	}
	q, err := s.inquire(r.Context())
	q.deaths = deaths
	out := append(q.answer(refs, strings.Contains(names, ":")), q.vacant(names)...)
	if err != nil {
		out = append(out, control.Why{Name: "the bus", Text: []string{"Its queues are not known: " + err.Error() + "."}})
	}
	return answer(w, out)
}

// inquire gathers what is known; without the queues, and an error, when the bus does not answer.
func (s *Server) inquire(ctx context.Context) (*inquiry, error) {
	q := &inquiry{topology: s.cfg.Supervisor.Topology(), satellites: map[string]supervisor.SatelliteStatus{}, queues: map[string]control.Queue{}, strains: s.cfg.Supervisor.Strains, now: time.Now()}
	for _, sat := range s.cfg.Supervisor.Snapshot() {
		q.satellites[sat.Name] = sat
	}
	stats, err := s.stats(ctx)
	for _, queue := range stats.Queues {
		q.queues[queue.Step] = queueOf(queue)
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, loopPatience)
		defer cancel()
		q.reasons, err = s.cfg.Bus.Reasons(ctx)
	}
	return q, err
}

func (q *inquiry) answer(refs []topology.Ref, instancesOnly bool) []control.Why {
	out := []control.Why{}
	for i, ref := range refs {
		for _, in := range q.satellites[ref.Name].Instances {
			if in.Ref == ref {
				out = append(out, control.Why{Name: ref.String(), State: in.State.String(), Text: q.instance(&in)})
			}
		}
		last := i+1 == len(refs) || refs[i+1].Name != ref.Name
		if queue, ok := q.queues[ref.Name]; ok && last && !instancesOnly {
			out = append(out, control.Why{Name: ref.Name, Text: q.queue(&queue)})
		}
	}
	return out
}

// vacant answers for satellites that are named and have no instances.
func (q *inquiry) vacant(names string) (out []control.Why) {
	for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' }) {
		sat, ok := q.satellites[name]
		if !ok || len(sat.Instances) > 0 {
			continue
		}
		out = append(out, control.Why{Name: name, State: sat.State.String(), Text: []string{"It has no instances: " + sat.Why + "."}})
		if queue, ok := q.queues[name]; ok {
			out = append(out, control.Why{Name: name, Text: q.queue(&queue)})
		}
	}
	return out
}

// instance tells what it is and since when, what it waits for, what comes next, and what it died of.
func (q *inquiry) instance(in *supervisor.InstanceStatus) []string {
	said := []string{q.present(in)}
	if in.State == supervisor.Starting && in.PID == 0 {
		said = append(said, q.needs(in.Ref.Name, map[string]bool{in.Ref.Name: true})...)
	}
	if in.Hook != "" {
		said = append(said, fmt.Sprintf("If the hook has not ended by %s, in %s, it is killed.", q.at(in.HookDue), spell(max(0, in.HookDue.Sub(q.now)))))
	}
	if in.Said != "" {
		said = append(said, fmt.Sprintf("It says of itself: %q.", in.Said))
	}
	if in.Reloading {
		said = append(said, "It reads its configuration again (RELOADING=1), and has not said READY=1 since.")
	}
	if next := q.next(in); next != "" {
		said = append(said, next)
	}
	if in.Restarts > 0 {
		said = append(said, fmt.Sprintf("Since this dsatd began it was restarted %s without being asked to.", times(in.Restarts)))
	}
	return append(append(append(said, q.strained(in.Ref)...), q.upkeep(in)...), q.lastDeath(in.Ref)...)
}

// strained tells which of its limits have held it back.
func (q *inquiry) strained(ref topology.Ref) (said []string) {
	if q.strains == nil {
		return nil
	}
	for _, s := range q.strains(ref) {
		if what := map[string]string{
			"memory": "reached, and memory taken back", "memory_high": "passed, and it was slowed down",
			"cpu": "used up within a period of 100ms", "pids": "reached, and a fork refused",
		}[s.Limit]; s.Hits > 0 {
			said = append(said, fmt.Sprintf("Its limits.%s was %s %s.", s.Limit, what, times(int(s.Hits))))
		}
	}
	return said
}

func (q *inquiry) present(in *supervisor.InstanceStatus) string {
	text := fmt.Sprintf("It is %s", in.State)
	if in.PID != 0 {
		text += fmt.Sprintf(" as process %d", in.PID)
	}
	if !in.Since.IsZero() {
		text += fmt.Sprintf(", for %s (since %s)", spell(q.now.Sub(in.Since)), q.at(in.Since))
	}
	if in.Why != "" {
		text += ": " + in.Why
	}
	return text + "."
}

// next is what happens next, and when.
func (q *inquiry) next(in *supervisor.InstanceStatus) string {
	name := in.Ref.String()
	switch in.State {
	case supervisor.Stopped, supervisor.Exited:
		if in.Asleep {
			return fmt.Sprintf("dsatctl start %s starts it without one.", name)
		}
		if in.Due.After(q.now) {
			return fmt.Sprintf("Its schedule runs it at %s, in %s; dsatctl start %s does at once.", q.at(in.Due), spell(in.Due.Sub(q.now)), name)
		}
		return fmt.Sprintf("Nothing starts it by itself: dsatctl start %s does.", name)
	case supervisor.Fatal:
		if in.Due.After(q.now) {
			return fmt.Sprintf("It is tried again at %s, in %s, with its failures forgotten; dsatctl start %s tries now.", q.at(in.Due), spell(in.Due.Sub(q.now)), name)
		}
		return fmt.Sprintf("It is not tried again by itself: dsatctl start %s tries anew.", name)
	case supervisor.Backoff:
		if in.Due.After(q.now) {
			return fmt.Sprintf("It is started again at %s, in %s.", q.at(in.Due), spell(in.Due.Sub(q.now)))
		}
		return "It is started again now."
	case supervisor.Stopping:
		switch {
		case !in.Due.After(q.now):
		case in.PID == 0 && in.Hook != "": // nothing else is left of it
		case in.PID == 0:
			return fmt.Sprintf("What has not ended by %s, in %s, is killed.", q.at(in.Due), spell(in.Due.Sub(q.now)))
		default:
			return fmt.Sprintf("If it has not ended by %s, in %s, harder measures follow: its stop signal, then SIGKILL.", q.at(in.Due), spell(in.Due.Sub(q.now)))
		}
	case supervisor.Starting:
		spec := q.topology.Satellite(in.Ref.Name)
		if spec == nil || in.Started.IsZero() || spec.Ready.Deadline <= 0 {
			return ""
		}
		if end := in.Started.Add(spec.Ready.Deadline); end.After(q.now) {
			return fmt.Sprintf("If it is not ready by %s, in %s, it is stopped and that counts as a failure.", q.at(end), spell(end.Sub(q.now)))
		}
	case supervisor.Running:
	}
	return ""
}

// needs follows what it waits for down to the cause.
func (q *inquiry) needs(name string, seen map[string]bool) []string {
	spec := q.topology.Satellite(name)
	if spec == nil {
		return nil
	}
	before := slices.Clone(spec.After)
	done := map[string]bool{} // what has to end well, not to run
	for _, n := range spec.Needs {
		before = append(before, n.Name)
		done[n.Name] = n.Stage == topology.StageDone
	}
	var said []string
	for _, b := range before {
		sat, ok := q.satellites[b]
		if !ok || seen[b] || sat.State == supervisor.Running && !done[b] || done[b] && sat.Done() {
			continue
		}
		seen[b] = true
		text := fmt.Sprintf("%s, before which %s does not start, is %s", b, name, sat.State)
		if sat.Why != "" {
			text += ": " + sat.Why
		}
		said = append(append(said, text+"."), q.needs(b, seen)...)
	}
	return said
}

// lastDeath is the newest end that nobody asked for.
func (q *inquiry) lastDeath(ref topology.Ref) []string {
	for _, d := range slices.Backward(q.deaths) {
		if d.Ref != ref || d.Asked {
			continue
		}
		who := "It failed to start"
		if d.PID != 0 {
			who = fmt.Sprintf("Process %d died", d.PID)
		}
		text := fmt.Sprintf("%s %s ago (%s)", who, spell(q.now.Sub(d.Time)), q.at(d.Time))
		if d.Uptime > 0 {
			text += fmt.Sprintf(" after %s", spell(d.Uptime))
		}
		said := []string{text + ": " + d.Cause + "."}
		if len(d.Last) > 0 {
			said = append(said, fmt.Sprintf("Its last words: %q.", d.Last[len(d.Last)-1]))
		}
		return said
	}
	return nil
}

// queue tells what waits for a step and what that means.
func (q *inquiry) queue(queue *control.Queue) []string {
	var said []string
	if queue.Waiting+queue.Held+queue.InFlight == 0 {
		said = append(said, "No message waits for it and none is in hand.")
	} else {
		said = append(said, fmt.Sprintf("%s for it, %d for the time of their retry; %d in hand of %s. The oldest is %s old.",
			plural(queue.Waiting, "message waits", "messages wait"), queue.Held, queue.InFlight, plural(queue.Workers, "worker", "workers"),
			spell(time.Duration(queue.OldestAge*float64(time.Second)))))
	}
	if queue.Workers == 0 {
		said = append(said, q.nobody(queue.Step))
	}
	if queue.Waiting > 0 {
		for _, why := range q.reasons[queue.Step] {
			said = append(said, sentence(why))
		}
	}
	if queue.Blocked {
		said = append(said, "Its queue is full, so that those who fill it wait: "+orNobody(q.above(queue.Step))+".")
	}
	said = append(said, q.restraint(queue)...)
	if queue.Quarantine > 0 {
		said = append(said, fmt.Sprintf("%s set aside in quarantine and not tried again by itself: dsatctl quarantine list --step %s",
			plural(queue.Quarantine, "message is", "messages are"), queue.Step))
	}
	return said
}

// nobody tells why a step has no worker.
func (q *inquiry) nobody(step string) string {
	text := step + " gets nothing: no session is up"
	for _, in := range q.satellites[step].Instances {
		text += fmt.Sprintf("; %s is %s", in.Ref, in.State)
		if in.Why != "" && in.State != supervisor.Running {
			text += " (" + in.Why + ")"
		}
	}
	if len(q.satellites[step].Instances) == 0 {
		text += fmt.Sprintf("; it has no instance: dsatctl scale %s 1", step)
	}
	return text + "."
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// above are the satellites that are linked to this step.
func (q *inquiry) above(step string) (names []string) {
	for _, spec := range q.topology.Satellites {
		if slices.Contains(spec.Sends(), step) {
			names = append(names, spec.Name)
		}
	}
	return names
}

// at is a time of today, or with its day.
func (q *inquiry) at(t time.Time) string {
	t = t.In(q.now.Location())
	if t.YearDay() == q.now.YearDay() && t.Year() == q.now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2 Jan 15:04:05")
}

// spell is a duration with two digits or so.
func spell(d time.Duration) string {
	switch d = max(d, 0); {
	case d >= time.Minute:
		text := d.Round(time.Second).String()
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		return text
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "whoever sends to it"
	}
	return strings.Join(names, ", ")
}
