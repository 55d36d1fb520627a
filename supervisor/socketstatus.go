package supervisor

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// SocketStatus is one socket at a moment: of all that are granted it, or of one instance.
type SocketStatus struct {
	Name       string
	Network    string // a topology.Network constant
	Address    string // host:port, with the port it has, or the path
	OnDemand   bool
	Open       bool           // false: nobody needs it now, or a process of an earlier dsatd has it alone
	FD         int            // in dsatd; -1 when it is not open
	Of         topology.Ref   // whose it is; zero: of all in Satellites
	Satellites []string       // who is granted it
	Holders    []topology.Ref // instances that have a process with it
	Listening  []topology.Ref // instances that the next connection starts
	Waiting    int            // connections nobody has accepted yet; where the kernel tells no number, 1 stands for some
	Backlog    int            // the most that may wait; 0 for datagrams
}

// Sockets is all sockets in the order of the topology; those of instances one by one.
func (s *Supervisor) Sockets() []SocketStatus {
	r := s.roster()
	var out []SocketStatus
	open := s.sockets.all()
	for _, k := range r.topology.Sockets {
		blank := SocketStatus{Name: k.Name, Network: k.Network(), Address: k.Address(0), OnDemand: k.Start == topology.StartOnDemand, FD: -1, Backlog: k.Backlog}
		if !k.Streams() {
			blank.Backlog = 0
		}
		for _, sat := range r.satellites {
			if slices.Contains(sat.spec.Sockets, k.Name) {
				blank.Satellites = append(blank.Satellites, sat.spec.Name)
			}
		}
		found := false
		for _, l := range open {
			if l.spec.Name != k.Name {
				continue
			}
			found = true
			st := blank
			st.Of, st.Address, st.FD, st.Open = l.of, l.address, l.fd, true
			st.Waiting = l.waiting
			s.holders(&st)
			out = append(out, st)
		}
		if !found {
			s.holders(&blank)
			out = append(out, blank)
		}
	}
	return out
}

// StoreStatus is what one instance has left for its next process.
type StoreStatus struct {
	Ref   topology.Ref
	Names []string // of the descriptors, in the order in which they are handed down
}

// Stored is the descriptor store, in the order of the topology; instances that have left nothing are not in it.
func (s *Supervisor) Stored() []StoreStatus {
	var out []StoreStatus
	for _, i := range s.everyone() {
		if names := s.store.names(i.ref); len(names) > 0 {
			out = append(out, StoreStatus{i.ref, names})
		}
	}
	return out
}

// holders finds the instances of a socket.
func (s *Supervisor) holders(st *SocketStatus) {
	r := s.roster()
	for _, name := range st.Satellites {
		for _, i := range r.byName[name].instances() {
			if st.Of != (topology.Ref{}) && i.ref != st.Of {
				continue
			}
			if i.status.Load().PID != 0 {
				st.Holders = append(st.Holders, i.ref)
			}
			if s.ears.awake(i) {
				st.Listening = append(st.Listening, i.ref)
			}
		}
	}
	slices.SortFunc(st.Holders, func(a, b topology.Ref) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.WID, b.WID)) })
}

// awake reports whether a connection starts the instance.
func (e *ears) awake(i *instance) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.all[i]) > 0
}

// waiting asks the kernel how many connections were not accepted yet.
func waiting(l *listening) int {
	if l.spec.Network() == topology.NetworkTCP {
		if info, err := unix.GetsockoptTCPInfo(l.fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			return int(info.Unacked) // of a listening socket this is the length of its queue
		}
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}, 0); n == 1 && err == nil {
		return 1
	}
	return 0
}
