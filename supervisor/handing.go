package supervisor

import (
	"encoding/json"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// firstHanded is the first descriptor that a process is handed beside its standard ones, by the protocol of sd_listen_fds(3).
const firstHanded = 3

// handing is what one life is handed: its sockets, then what it has left in the store. The descriptors are our own duplicates.
type handing struct {
	fds   []int
	names []string
}

// give opens and duplicates what a life is given.
func (s *Supervisor) give(l *life) (*handing, error) {
	if len(l.spec.Sockets) == 0 && l.spec.FDStore == 0 {
		return &handing{}, nil
	}
	fds, err := s.sockets.lend(s.roster().topology, l.spec, l.of.ref)
	if err != nil {
		return nil, err
	}
	h := &handing{fds: fds, names: append([]string(nil), l.spec.Sockets...)}
	kept, names := s.store.lend(l.of.ref)
	h.fds, h.names = append(h.fds, kept...), append(h.names, names...)
	return h, nil
}

// tell puts the descriptors into a plan, and the environment that tells of them. LISTEN_PID is set by the shim, which alone knows it.
func (h *handing) tell(p *plan) {
	if len(h.fds) == 0 {
		return
	}
	for _, fd := range h.fds {
		p.handed = append(p.handed, uintptr(fd))
	}
	p.env = setenv(p.env, "LISTEN_FDS", strconv.Itoa(len(h.fds)))
	p.env = setenv(p.env, "LISTEN_FDNAMES", strings.Join(h.names, ":"))
	if p.traits == nil {
		p.traits = &traits{}
	}
	p.traits.Listens = true
}

func (h *handing) close() {
	for _, fd := range h.fds {
		unix.Close(fd)
	}
}

// here is what fills ${instance} and ${socket.NAME.fd} in what an instance is told.
func (s *Supervisor) here(t *topology.Satellite, wid int) filling {
	return s.fillings(t, wid)
}

// filling is what stands for each ${NAME}, as pairs for strings.NewReplacer.
type filling []string

// Replace fills them. Most texts have none, and a strings.Replacer costs 5 KB to make, at every spawn.
func (f filling) Replace(text string) string {
	if !strings.Contains(text, "${") {
		return text
	}
	return strings.NewReplacer(f...).Replace(text)
}

func (s *Supervisor) fillings(t *topology.Satellite, wid int) filling {
	pairs := filling{"${instance}", strconv.Itoa(wid)}
	if t == nil || len(t.Sockets) == 0 {
		return pairs
	}
	return append(pairs, s.sockets.words(s.roster().topology, t, wid)...)
}

// readyOf is how an instance of that number shows that it is ready.
func (s *Supervisor) readyOf(t *topology.Satellite, wid int) topology.Ready {
	r, here := t.Ready, s.here(t, wid)
	r.TCP, r.Get, r.Unix, r.Path = here.Replace(r.TCP), here.Replace(r.Get), here.Replace(r.Unix), here.Replace(r.Path)
	return r
}

// hereInJSON is the same inside the strings of a JSON text.
func (s *Supervisor) hereInJSON(t *topology.Satellite, wid int) filling {
	pairs := s.fillings(t, wid)
	for i := 1; i < len(pairs); i += 2 {
		if text, err := json.Marshal(pairs[i]); err == nil {
			pairs[i] = string(text[1 : len(text)-1])
		}
	}
	return pairs
}
