package topology

// socketsKey is [socket.NAME].
func socketsKey() *key {
	return &key{name: "socket", kind: entriesKind{
		make: func(name string) any { return &Socket{Name: name} },
		add:  func(o, e any) { t := o.(*Topology); t.Sockets = append(t.Sockets, e.(*Socket)) },
		list: func(o any) []entry { return entriesOf(o.(*Topology).Sockets, func(s *Socket) string { return s.Name }) },
	}, aka: []string{"sockets", "listen", "listener", "listeners"},
		doc:  "One table for each listening socket that dsatd opens and hands to satellites: [socket.NAME]. It stays open while they restart.",
		each: &key{name: "*", kind: tableKind{}, keys: socketKeys(), doc: "A socket."}}
}

func socketKeys() []*key {
	return []*key{
		{name: "listen", kind: addressKind{}, aka: []string{"address", "bind", "host", "port", "path", "listen_stream", "listenstream"},
			doc:   `"tcp://ADDRESS:PORT", "udp://ADDRESS:PORT" (no ADDRESS is every address of this machine, [::]:PORT too; port 0 lets the kernel choose), or "unix://PATH" (relative to this file; @NAME is an abstract one), unixgram:// for datagrams, unixpacket:// for sequenced packets.`,
			field: on(func(s *Socket) any { return &s.Listen })},
		{name: "per_instance", kind: boolKind{}, def: "false", aka: []string{"ports", "port_per_instance"},
			doc:   "Each instance has a socket of its own: its port is the one of listen plus the number of the instance; a path has to hold ${instance}. It is open while the instance is wanted.",
			field: on(func(s *Socket) any { return &s.PerInstance })},
		{name: "start", kind: enumKind{}, def: `"always"`, aka: []string{"on_demand", "activation", "lazy"}, choices: []choice{
			{value: string(StartAlways), doc: "its satellites are started as all others"},
			{value: string(StartOnDemand), doc: "its satellites are started by the first connection or datagram, and listened for again after they ended with success"},
		}, doc: "When its satellites are started.", field: on(func(s *Socket) any { return &s.Start })},
		{name: "backlog", kind: wholeKind{}, def: "4096", min: 1, max: 1 << 20, applies: whenStreams, doc: "Connections that may wait, as while a satellite restarts. The kernel has a limit of its own (net.core.somaxconn).",
			field: on(func(s *Socket) any { return &s.Backlog })},
		{name: "reuse_port", kind: boolKind{}, def: "false", applies: whenInet, aka: []string{"so_reuseport", "reuseport"},
			doc:   "Each instance has a socket of its own on the same port, and the kernel spreads the connections (SO_REUSEPORT). It is open while the instance is wanted.",
			field: on(func(s *Socket) any { return &s.ReusePort })},
		{name: "ipv6_only", kind: boolKind{}, def: "false", applies: whenInet, aka: []string{"bind_ipv6_only", "ipv6only", "v6only"}, doc: "A socket on an IPv6 address takes no IPv4 connections.",
			field: on(func(s *Socket) any { return &s.IPv6Only })},
		{name: "free_bind", kind: boolKind{}, def: "false", applies: whenInet, aka: []string{"freebind"}, doc: "The address may be one that this machine does not have yet (IP_FREEBIND).",
			field: on(func(s *Socket) any { return &s.FreeBind })},
		{name: "transparent", kind: boolKind{}, def: "false", applies: whenInet, doc: "For transparent proxies (IP_TRANSPARENT); needs the capability net_admin.",
			field: on(func(s *Socket) any { return &s.Transparent })},
		{name: "keep_alive", kind: boolKind{}, def: "false", applies: whenTCP, aka: []string{"keepalive"}, doc: "Accepted connections are probed while they are silent (SO_KEEPALIVE).",
			field: on(func(s *Socket) any { return &s.KeepAlive })},
		{name: "no_delay", kind: boolKind{}, def: "false", applies: whenTCP, aka: []string{"nodelay", "tcp_nodelay"}, doc: "Accepted connections send at once (TCP_NODELAY).",
			field: on(func(s *Socket) any { return &s.NoDelay })},
		{name: "receive_buffer", kind: sizeKind{}, def: `"0B"`, min: 0, max: 1 << 30, aka: []string{"so_rcvbuf", "rcvbuf"}, doc: "The kernel's buffer for what arrives; 0B: its default.",
			field: on(func(s *Socket) any { return &s.ReceiveBuf })},
		{name: "send_buffer", kind: sizeKind{}, def: `"0B"`, min: 0, max: 1 << 30, aka: []string{"so_sndbuf", "sndbuf"}, doc: "The kernel's buffer for what is sent; 0B: its default.",
			field: on(func(s *Socket) any { return &s.SendBuf })},
		{name: "mode", kind: umaskKind{}, def: `"0660"`, applies: whenFile, aka: []string{"socket_mode", "permissions", "umask"}, doc: "Rights of the socket's file, octal; who may write may connect.",
			field: on(func(s *Socket) any { return &s.Mode })},
		{name: "user", kind: accountKind{}, auto: "as dsatd", applies: whenFile, aka: []string{"owner", "socket_user"}, doc: "Owner of the socket's file; for dsatd run by root.",
			field: on(func(s *Socket) any { return &s.User }), dropped: func(_, v any) bool { return v == "" }},
		{name: "group", kind: accountKind{}, auto: "as dsatd", applies: whenFile, aka: []string{"socket_group"}, doc: "Group of the socket's file.",
			field: on(func(s *Socket) any { return &s.Group }), dropped: func(_, v any) bool { return v == "" }},
	}
}

// socketGrants are the keys of a satellite that concern descriptors it is given.
func socketGrants() []*key {
	return []*key{
		{name: "sockets", kind: stepsKind{}, own: true, whole: true, aka: []string{"socket", "use_sockets", "listen", "listens"},
			doc:   "Sockets it is given, in the order of their descriptors, from 3 on. It is told of them by LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, as by systemd, and by ${socket.NAME.fd}, ${socket.NAME.port} and ${socket.NAME.address} in command, env, cwd, ready and options.",
			field: sat(func(s *Satellite) any { return &s.Sockets }), dropped: unset(func(s *Satellite) []string { return s.Sockets })},
		{name: "fd_store", kind: wholeKind{}, def: "0", min: 0, max: 4096, aka: []string{"fdstore", "file_descriptor_store_max", "filedescriptorstoremax"},
			doc:   "Descriptors of its own that each instance may leave with dsatd (sd_notify, FDSTORE=1) and has again after a restart, behind its sockets.",
			field: sat(func(s *Satellite) any { return &s.FDStore })},
		{name: "fd_store_preserve", kind: boolKind{}, def: "false", aka: []string{"file_descriptor_store_preserve", "filedescriptorstorepreserve"},
			doc:   "What it left is kept when it is stopped, has ended or is fatal, until it is started again; else it is closed then.",
			field: sat(func(s *Satellite) any { return &s.FDStorePreserve })},
	}
}

func whenStreams(o any) string {
	if o.(*Socket).Streams() {
		return ""
	}
	return "means nothing for datagrams: no connections wait"
}

func whenInet(o any) string {
	if !o.(*Socket).Unix() {
		return ""
	}
	return "is for tcp and udp sockets"
}

func whenTCP(o any) string {
	if n := o.(*Socket).Network(); n == NetworkTCP || n == "" {
		return ""
	}
	return "is for tcp sockets"
}

func whenFile(o any) string {
	if s := o.(*Socket); s.Listen == "" || s.Unix() && len(s.Address(0)) > 0 && s.Address(0)[0] != '@' {
		return ""
	}
	return "is for unix sockets with a path"
}
