package supervisor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dsat/dsat/topology"
)

// A dsatd that follows a killed one goes on where that one was: besides the processes it takes back there are instances that have none,
// and shall have none. Who was stopped by hand stays stopped, a one-shot that is done is not done again, and what is fatal is not tried
// anew. The record has them in lines of its own:
//
//	rests cpu:0 STATE SINCE SPEC WHY   (nanoseconds since 1970; a word for its entry in the topology; a sentence)
//	wakes cpu:0
//	scaled cpu 4 2                     (to 4, where its entry says 2)
//	over                               (dsatd ends as asked: nothing of this holds any longer)

// rest is an instance without a process.
type rest struct {
	state string // stopped (by hand, or being stopped), done, ended (not well) or fatal
	since time.Time
	spec  string
	why   string
}

// scaling is a number of instances that was asked for by hand; it holds as long as the entry says the same.
type scaling struct{ to, entry int }

// standing is what holds of all these lines.
type standing struct {
	rests  map[topology.Ref]rest
	scaled map[string]scaling
}

func newStanding() standing {
	return standing{make(map[topology.Ref]rest), make(map[string]scaling)}
}

// standingOf reads the lines of a record that concern it.
func standingOf(text []byte) standing {
	s := newStanding()
	for line := range strings.Lines(string(text)) {
		if word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); restFields[word] > 0 {
			s.read(strings.TrimSuffix(line, "\n"))
		}
	}
	return s
}

// restFields is how many fields a line of each kind has.
var restFields = map[string]int{"rests": 6, "wakes": 2, "scaled": 4, "over": 1}

// read takes one line in; false: it cannot be read.
func (s *standing) read(line string) bool {
	word, _, _ := strings.Cut(line, " ")
	f := strings.SplitN(line, " ", restFields["rests"])
	if len(f) != restFields[word] {
		return false
	}
	switch word {
	case "over":
		*s = newStanding()
		return true
	case "scaled":
		to, err := strconv.Atoi(f[2])
		entry, bad := strconv.Atoi(f[3])
		if err != nil || bad != nil || to < 0 || to > maxHanded || f[1] == "" {
			return false
		}
		s.scaled[f[1]] = scaling{to, entry}
		return true
	}
	ref, err := topology.ParseRef(f[1])
	if err != nil {
		return false
	}
	if word == "wakes" {
		delete(s.rests, ref)
		return true
	}
	ns, err := strconv.ParseInt(f[3], 10, 64)
	r := rest{state: f[2], since: time.Unix(0, ns), spec: f[4], why: f[5]}
	if _, _, known := r.being(); err != nil || !known || r.spec == "" {
		return false
	}
	s.rests[ref] = r
	return true
}

func (r rest) line(ref topology.Ref) string {
	return fmt.Sprintf("rests %s %s %d %s %s\n", ref, r.state, r.since.UnixNano(), r.spec, oneLine(r.why))
}

func (c scaling) line(name string) string {
	return fmt.Sprintf("scaled %s %d %d\n", name, c.to, c.entry)
}

// lines is all that holds.
func (s *standing) lines() string {
	var text strings.Builder
	for ref, r := range s.rests {
		text.WriteString(r.line(ref))
	}
	for name, c := range s.scaled {
		text.WriteString(c.line(name))
	}
	return text.String()
}

// being is what the words of its state mean.
func (r rest) being() (State, Want, bool) {
	switch r.state {
	case "stopped":
		return Stopped, Down, true
	case "done":
		return Exited, Down, true
	case "ended":
		return Exited, Up, true
	case "fatal":
		return Fatal, Up, true
	}
	return 0, 0, false
}

// restOf is the word for a state; "": that is no rest.
func restOf(now *InstanceStatus) string {
	switch {
	case now.Want == Down && (now.State == Stopped || now.State == Stopping):
		return "stopped" // or about to be
	case now.State == Exited && now.Success:
		return "done"
	case now.State == Exited:
		return "ended"
	case now.State == Fatal:
		return "fatal"
	}
	return ""
}

// rests notes that an instance has come to rest, or has left it. What has ended and is started by a schedule, by hand or by its sockets
// only is found as it is without that.
func (s *Supervisor) rests(i *instance, now *InstanceStatus) {
	state := restOf(now)
	if i.drowse.on != "" || i.leaving && state == "stopped" || !i.spec.Autostart && state != "stopped" {
		state = ""
	}
	if state == "" {
		s.record.wakes(i.ref)
		return
	}
	s.record.rests(i.ref, rest{state, now.Since, s.specOf(i.spec), now.Why})
}

// recall makes those that were at rest under a killed dsatd what they were. Whether somebody wants it to run is not in its entry, so
// that a stop by hand holds for a changed one too, as it does when a change is applied.
func (s *Supervisor) recall() {
	past, now := s.record.past, newStanding()
	for name, c := range past.scaled {
		if sat := s.roster().byName[name]; sat != nil && sat.spec.Instances == c.entry {
			now.scaled[name] = c
			if !s.estate.given {
				s.recount(sat, c.to)
			}
		}
	}
	for _, i := range s.everyone() {
		r, ok := past.rests[i.ref]
		same := ok && (s.estate.given || r.state == "stopped" || r.spec == s.specOf(i.spec))
		if !same {
			continue
		}
		if !s.estate.given {
			i.repose(r)
		}
		r.spec = s.specOf(i.spec) // another version may have another word for the same entry
		now.rests[i.ref] = r
	}
	s.record.stand(now)
}

// repose makes it what it was.
func (i *instance) repose(r rest) {
	i.state, i.want, _ = r.being()
	i.since, i.why, i.success = r.since, r.why, r.state == "done"
	i.publish()
}

// wakeful are those that are to be started, and resigned those that are not, because they have failed for good.
func (s *Supervisor) wakeful(all []*instance) (wakeful, resigned []*instance) {
	for _, i := range all {
		switch r, ok := s.record.resting(i.ref); {
		case !ok:
			wakeful = append(wakeful, i)
		case r.state == "fatal":
			resigned = append(resigned, i)
		}
	}
	return wakeful, resigned
}

// rearm sets the time of the next try of those that are fatal only for a while.
func (i *instance) rearm() {
	if d := i.spec.Restart.Retry; d > 0 && i.state == Fatal {
		i.arm(min(d, max(0, d-i.world.now().Sub(i.since)))) // the clock may have been set back since
		i.publish()
	}
}

func (r *record) rests(ref topology.Ref, now rest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.past.rests[ref] = now
		r.append(now.line(ref))
	}
}

func (r *record) wakes(ref topology.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.past.rests[ref]; ok {
		delete(r.past.rests, ref)
		r.append("wakes " + ref.String() + "\n")
	}
}

func (r *record) resting(ref topology.Ref) (rest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, ok := r.past.rests[ref]
	return now, ok
}

func (r *record) scaled(name string, c scaling) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over && r.past.scaled[name] != c {
		r.past.scaled[name] = c
		r.append(c.line(name))
	}
}

// stand replaces what holds.
func (r *record) stand(now standing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past = now
	r.compact()
}

// finish is for an end that was asked for: the next dsatd begins anew.
func (r *record) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.over, r.past = true, newStanding()
		r.append("over\n")
	}
}
