package topology

import "time"

// shortestWatchdog is a bound below which a busy machine, not a hanging process, is what is found.
const shortestWatchdog = 100 * time.Millisecond

// ready settles which kind of readiness it is.
func (r *rules) ready(s *Satellite, said *setting) {
	kind := s.Ready.said()
	switch {
	case kind != "":
		s.Ready.Kind = kind
	case s.Ready.Kind == ReadyHello && s.Speaks != SpeaksBus:
		f := said.find("ready").find("on")
		if f.inherited {
			s.Ready.Kind = ReadySpawned
		} else {
			r.add(f.pos, `say speaks = "bus", or another way to be ready`, "only a satellite that speaks bus says HELLO")
		}
	}
	for _, f := range [2]struct{ name, value string }{{"unix", s.Ready.Unix}, {"path", s.Ready.Path}} {
		if said := said.find("ready").find(f.name); said != nil && !said.bad && f.value == "" {
			r.add(said.pos, "", "ready.%s is empty", f.name)
		}
	}
	r.notify(s, said)
}

func (r *rules) notify(s *Satellite, said *setting) {
	if w := said.find("watchdog"); w != nil && !w.bad && s.Notify.Watchdog > 0 && s.Notify.Watchdog < shortestWatchdog {
		r.add(w.pos, "0s is no watchdog", "watchdog cannot be shorter than %s", durationText(shortestWatchdog))
	}
	on := said.find("notify")
	if on == nil || on.bad || s.Notify.Socket {
		return
	}
	switch {
	case s.Ready.Kind == ReadyNotify:
		r.add(on.pos, "leave it out", `notify is false, so that READY=1 cannot come, and ready = "notify"`)
	case s.FDStore > 0:
		r.add(on.pos, "leave it out", "notify is false, so that FDSTORE=1 cannot come, and there is an fd_store")
	case s.Notify.Watchdog > 0:
		r.add(on.pos, "leave it out", "notify is false, so that WATCHDOG=1 cannot come, and there is a watchdog")
	}
}
