package topology

// busKeys is [bus]: doors beside the sockets that satellites find by themselves.
func busKeys() *key {
	return &key{name: "bus", kind: tableKind{}, doc: "Further doors of the bus.", keys: []*key{
		{name: "v1", kind: tableKind{}, aka: []string{"dsat", "legacy", "v0"}, keys: v1Keys(),
			doc: "The door for satellites of DSAT 0.6, which go on as they are: `speaks = \"v1\"`. docs/legacy.md tells what works, what differs, and how to move one satellite at a time."},
		later("listen", "TCP listeners of the bus, with keys."),
	}}
}

func v1Keys() []*key {
	return []*key{
		{name: "where", kind: textKind{}, def: `"localhost"`, aka: []string{"host", "hostname"},
			doc:   "The host that vectors for this machine name; others are refused. As `where` of vertex.json.",
			field: top(func(t *Topology) any { return &t.V1.Where }), dropped: noV1},
		{name: "links", kind: namesKind{free: true}, aka: []string{"cnx", "link", "endpoints"},
			doc: "Endpoint by name of the link, as `cnx` of vertex.json: `PUSH_orchester_CPU = \"tcp://127.0.0.1:9570\"`. SCHEME_source_destination; the end in capitals binds, `any` stands for everybody. " +
				"dsatd stands at the ends of orchester, of tracker, and of every satellite that does not speak v1. tcp://HOST:PORT or ipc://PATH, relative to the directory of the first file; %(name)s is a variable.",
			each: &key{name: "*", kind: textKind{}, doc: "Endpoint."}, field: top(func(t *Topology) any { return &t.V1.Links }), dropped: noV1},
		{name: "variables", kind: namesKind{free: true}, aka: []string{"vars", "vertex", "local_info"},
			doc:  "Values of %(name)s in links, such as `ext_ip` and `csvw_port` of vertex.json.",
			each: &key{name: "*", kind: textKind{}, doc: "Value."}, field: top(func(t *Topology) any { return &t.V1.Variables }), dropped: noV1},
		{name: "hwm", kind: wholeKind{}, def: "64", min: 1, max: 100000, aka: []string{"high_water_mark", "sndhwm", "rcvhwm"},
			doc:   "Messages that a socket of dsatd's holds for one peer that is to get them. What waits beyond waits in queues, where it is seen.",
			field: top(func(t *Topology) any { return &t.V1.HWM }), dropped: noV1},
		{name: "full", kind: enumKind{}, def: `"quarantine"`, aka: []string{"overflow"}, choices: []choice{
			{value: string(V1Quarantine), doc: "it is set aside, and nobody waits"},
			{value: string(V1Block), doc: "the endpoint is not read until there is room: every source at it waits, as with DSAT"},
			{value: string(V1Drop), doc: "it is dropped and counted"},
		}, doc: "What becomes of a vector that arrives for a step whose queue is full and blocks. All sources share one endpoint, so that none can be held up alone.",
			field: top(func(t *Topology) any { return &t.V1.Full }), dropped: noV1},
		{name: "expose", kind: boolKind{}, def: "false", aka: []string{"public", "insecure"},
			doc:   "dsatd may bind endpoints that others than this machine can reach. This protocol has no keys: whoever reaches them gives orders.",
			field: top(func(t *Topology) any { return &t.V1.Expose }), dropped: noV1},
	}
}

// noV1 reports that there is no such door.
func noV1(o, _ any) bool { return len(o.(*Topology).V1.Links) == 0 }

// legacyKeys is what a satellite says that speaks v1.
func legacyKeys() *key {
	return &key{name: "v1", kind: tableKind{}, applies: whenV1, doc: "How it works by itself, of a satellite that speaks v1.", aka: []string{"legacy"}, keys: []*key{
		{name: "max_retry", kind: wholeKind{}, def: "1", min: 1, max: 1_000_000,
			doc:   "Attempts it makes at one message before it gives it up: max_retry of its Connector. After so many ERRORs the attempt has failed, and work.retries says how many follow.",
			field: sat(func(s *Satellite) any { return &s.V1.MaxRetry })},
		{name: "channel", kind: textKind{}, def: `""`, doc: "The channel of vectors that are made for it from messages which were none.", field: sat(func(s *Satellite) any { return &s.V1.Channel })},
	}}
}

func whenV1(o any) string {
	if o.(*Satellite).Speaks == SpeaksV1 {
		return ""
	}
	return `is for satellites with speaks = "v1"`
}
