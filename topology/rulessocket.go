package topology

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// sockets checks each socket by itself. One without an address is left out.
func (r *rules) sockets(declared *setting) {
	r.listens = map[string]*setting{}
	if declared == nil {
		return
	}
	for _, said := range declared.fields {
		r.listens[said.name] = said
		if f := said.find("listen"); f == nil && !said.bad {
			r.add(said.at, `say listen = "tcp://127.0.0.1:8080" or "unix://PATH"`, "socket %s has no listen", said.name)
		}
	}
	r.t.Sockets = slices.DeleteFunc(r.t.Sockets, func(s *Socket) bool { return s.Listen == "" })
	for _, s := range r.t.Sockets {
		r.socket(s, r.listens[s.Name])
	}
}

func (r *rules) socket(s *Socket, said *setting) {
	f := said.find("listen")
	numbered := strings.Contains(s.Listen, placeholder)
	_, port, _ := splitAddress(s.Address(0))
	switch {
	case s.Unix() && numbered != s.PerInstance:
		r.add(f.pos, "say both or none of them", "per_instance = true and ${instance} in the path belong together")
	case s.PerInstance && s.ReusePort:
		r.add(said.find("reuse_port").at, "say one of them", "per_instance and reuse_port exclude each other: a port for each instance, or one for all")
	case s.PerInstance && port == 0 && !s.Unix():
		r.add(f.pos, "say the port of instance 0", "per_instance counts up from a port, and 0 is none")
	case s.ReusePort && port == 0:
		r.add(f.pos, "say the port", "with reuse_port every instance would have another port")
	}
	if s.IPv6Only {
		host, _, _ := splitAddress(s.Address(0))
		if a, err := netip.ParseAddr(host); host != "" && (err != nil || !a.Is6()) {
			r.add(said.find("ipv6_only").at, "", "ipv6_only means nothing for %s, which is an IPv4 address", host)
		}
	}
}

// grants checks what satellites say about sockets, and sockets about each other.
func (r *rules) grants() {
	names := slices.Sorted(maps.Keys(r.listens))
	holders := map[string][]*Satellite{}
	for _, s := range r.t.Satellites {
		said := r.said[s.Name]
		for i, name := range s.Sockets {
			at := said.find("sockets").item(i)
			if r.listens[name] == nil && !r.broken {
				r.add(at, didYouMean(name, names), "sockets names %q, and there is no [socket.%s]", shorten(name), shorten(name))
			}
			if k := r.t.Socket(name); k != nil {
				r.numbered(s, k, at, holders[name])
			}
			holders[name] = append(holders[name], s)
		}
		r.placeholders(s, said)
		r.vouched(s)
	}
	for _, k := range r.t.Sockets {
		if len(holders[k.Name]) == 0 {
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("socket %s is granted to no satellite, and is not opened: sockets = %q in one grants it", k.Name, k.Name))
		}
	}
	r.ports(holders)
}

// numbered checks a socket that each instance has for itself.
func (r *rules) numbered(s *Satellite, k *Socket, at place, before []*Satellite) {
	if !k.PerInstance {
		return
	}
	if len(before) > 0 {
		r.add(at, "declare another one", "socket %s is %s's already: one with per_instance belongs to one satellite", k.Name, before[0].Name)
	}
	if _, port, ok := splitAddress(k.Address(0)); ok && !k.Unix() && port+s.Instances-1 > 65535 {
		r.add(at, "begin with a lower port", "socket %s: instance %d of %s would have port %d, and the last one is 65535", k.Name, s.Instances-1, s.Name, port+s.Instances-1)
	}
}

// placeholders checks that what is filled in is of sockets that the satellite has.
func (r *rules) placeholders(s *Satellite, said *setting) {
	check := func(key *setting, text string) {
		for _, m := range socketPattern.FindAllStringSubmatch(text, -1) {
			k := r.t.Socket(m[1])
			switch at := orElse(key, said).pos; {
			case !slices.Contains(s.Sockets, m[1]):
				r.add(at, fmt.Sprintf("say sockets = [%q] in [satellite.%s]", m[1], s.Name), "%s has a value only in a satellite that is granted socket %s", m[0], m[1])
			case k != nil && k.Unix() && m[2] == SocketPort:
				r.add(at, "write "+SocketPlaceholder(m[1], SocketAddress), "%s: a unix socket has no port", m[0])
			}
		}
	}
	for _, word := range s.Command {
		check(said.find("command"), word)
	}
	for _, word := range s.Stop.Command {
		check(said.find("stop").find("command"), word)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		check(said.find("env").find(name), s.Env[name])
	}
	check(said.find("cwd"), s.Dir)
	check(said.find("ready").find("tcp"), s.Ready.TCP)
	check(said.find("ready").find("get"), s.Ready.Get)
	for _, c := range s.Health {
		f := said.find("health").find(c.Name)
		for _, text := range append(slices.Clone(c.Exec), c.Get, c.TCP, c.GRPC) {
			check(f, text)
		}
	}
	if len(s.Options) > 0 {
		check(said.find("options"), fmt.Sprint(s.Options))
	}
}

// vouched notes a readiness that says nothing: a socket of dsatd's own accepts before its satellite runs.
func (r *rules) vouched(s *Satellite) {
	for _, name := range s.Sockets {
		k := r.t.Socket(name)
		if k == nil || k.Network() != NetworkTCP || s.Ready.Kind != ReadyTCP {
			continue
		}
		if s.Ready.TCP == k.Address(0) || strings.Contains(s.Ready.TCP, "${socket."+name+".") {
			r.t.Notes = append(r.t.Notes, fmt.Sprintf("%s is ready at once: dsatd keeps socket %s open, so that ready.tcp is always accepted; ready.get asks the satellite itself", s.Name, name))
		}
	}
}

// claim is an address that somebody will listen on.
type claim struct {
	who     string
	at      place
	network string
	host    string
	low     int // ports; of a path both 0
	high    int
	shares  bool
	only6   bool
}

// ports finds two that would listen on one address.
func (r *rules) ports(holders map[string][]*Satellite) {
	var claims []claim
	if host, port, ok := splitAddress(r.t.Daemon.HTTP); ok && port != 0 {
		claims = append(claims, claim{who: "daemon.http", network: NetworkTCP, host: host, low: port, high: port})
	}
	for _, k := range r.t.Sockets {
		c := claim{who: "socket " + k.Name, at: r.listens[k.Name].find("listen").pos, network: k.Network(), shares: k.ReusePort, only6: k.IPv6Only}
		count := 1
		if k.PerInstance && len(holders[k.Name]) > 0 {
			count = max(1, holders[k.Name][0].Instances)
		}
		if k.Unix() {
			c.host, c.network = k.Listen, NetworkUnix
		} else if host, port, ok := splitAddress(k.Address(0)); !ok || port == 0 {
			continue
		} else {
			c.host, c.low, c.high = host, port, port+count-1
		}
		for _, other := range claims {
			if other.meets(c) {
				r.add(c.at, "", "port clash: %s listens on %s, and so does %s", c.who, shorten(k.Address(max(0, other.low-c.low))), other.who)
			}
		}
		claims = append(claims, c)
	}
}

// meets reports whether the kernel would refuse one of them.
func (c claim) meets(d claim) bool {
	if c.network == NetworkUnix || d.network == NetworkUnix {
		_, a, _ := strings.Cut(c.host, "://")
		_, b, _ := strings.Cut(d.host, "://")
		return c.network == d.network && a == b
	}
	if c.network != d.network || c.high < d.low || d.high < c.low || c.shares && d.shares {
		return false
	}
	c4, c6 := c.families()
	d4, d6 := d.families()
	return c.host == d.host || (everywhere(c.host) || everywhere(d.host)) && (c4 && d4 || c6 && d6)
}

// families are the kinds of connections it takes. The empty host is [::], which takes IPv4 too.
func (c claim) families() (four, six bool) {
	a, err := netip.ParseAddr(c.host)
	if err != nil && c.host != "" || err == nil && a.Is4() {
		return true, false // "localhost" is one
	}
	return everywhere(c.host) && !c.only6, true
}

// everywhere: no address in particular.
func everywhere(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.IsUnspecified()
}
