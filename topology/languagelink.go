package topology

import (
	"strings"
)

func linkOf(f func(*Link) any) func(any) any { return func(o any) any { return f(o.(*Link)) } }

// whenSet drops what says nothing.
func whenSet(_, v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case int64:
		return v == 0
	case float64:
		return v == 0
	case bool:
		return !v
	case []string:
		return len(v) == 0
	}
	return false
}

// linkKeys are the options of a link.
func linkKeys() *key {
	return &key{name: "to", kind: tableKind{}, doc: "A link: to = { NAME = { ... } }.", keys: []*key{
		{name: "when", kind: exprKind{}, doc: `Condition on the message: "payload.load1 > 4". Messages that do not fulfil it do not take the link.`, aka: []string{"if", "where", "filter", "condition", "match"},
			field: linkOf(func(l *Link) any { return &l.When }), dropped: whenSet},
		{name: "one_in", kind: wholeKind{}, min: 1, max: 1_000_000_000, doc: "It takes the first of so many messages (of those that fulfil `when`), and every such one after it.", aka: []string{"every", "nth"},
			field: linkOf(func(l *Link) any { return &l.OneIn }), dropped: whenSet},
		{name: "sample", kind: numberKind{}, min: 0, max: 100, doc: "It takes so many percent of the messages, chosen by a hash of their task, so that all links and steps with the same percentage choose the same.", aka: []string{"percent", "share"},
			field: linkOf(func(l *Link) any { return &l.Sample }), dropped: whenSet},
		{name: "fallback", kind: boolKind{}, doc: "It takes what no other link took.", aka: []string{"else", "default", "otherwise"},
			field: linkOf(func(l *Link) any { return &l.Fallback }), dropped: whenSet},
		{name: "errors", kind: boolKind{}, doc: "It takes messages whose condition cannot be told: the payload cannot be decoded or has more than 64 KiB, a field is missing, a type does not fit. Such messages are counted in any case.", aka: []string{"on_error"},
			field: linkOf(func(l *Link) any { return &l.Errors }), dropped: whenSet},
		{name: "key", kind: exprKind{key: true}, doc: "In place of the receiver's `work.key` for what comes by this link.",
			field: linkOf(func(l *Link) any { return &l.Key }), dropped: whenSet},
		{name: "move", kind: tableKind{}, doc: "A share of what it takes goes to another satellite instead.", aka: []string{"canary", "split"}, keys: []*key{
			{name: "to", kind: stepKind{}, doc: "Where.", field: linkOf(func(l *Link) any { return &l.Move.To }), dropped: whenSet},
			{name: "percent", kind: numberKind{}, min: 0, max: 100, doc: "How much: the same messages always (by a hash of the key, or of the task); what moves at 10 moves at 20 too.",
				field: linkOf(func(l *Link) any { return &l.Move.Percent }), dropped: func(o, _ any) bool { return o.(*Link).Move.To == "" }},
		}},
		{name: "mirror", kind: stepsKind{}, doc: "These satellites get a copy of what it takes.", aka: []string{"copy", "tee"},
			field: linkOf(func(l *Link) any { return &l.Mirror }), dropped: whenSet},
	}}
}

func routeKeys() *key {
	return &key{name: "route", kind: tableKind{}, short: "mode", own: true, applies: whenEmits, doc: "Which of its links take a message. A message that it sends to a link by name takes that one, whatever the conditions.",
		aka: []string{"routing", "exchange"}, keys: []*key{
			{name: "mode", kind: enumKind{}, def: `"all"`, choices: []choice{
				{value: "all", doc: "all that match"},
				{value: "first", doc: "the first that matches, in the order of the file"},
				{value: "hash", doc: "one of those that match, by a hash of `by`: equal values go to the same, and a link more or less changes the way of few"},
			}, doc: "How links are chosen.", field: sat(func(s *Satellite) any { return &s.Route.Mode })},
			{name: "by", kind: exprKind{key: true}, doc: `Expression, for mode = "hash": "payload.host".`, aka: []string{"key", "on"},
				field: sat(func(s *Satellite) any { return &s.Route.By }), dropped: whenSet},
			{name: "member", kind: textKind{}, doc: `Of a filter that speaks json: the member of its answers, objects, that names the link it goes to, or a list of links: with member = "to" the answer {"to": "alarm", "load": 5} goes to alarm, as {"load": 5}. ` +
				`[] goes nowhere; an answer without it takes the links as mode says. One that names what is no link fails its message; what a source prints so goes to all links as it is.`, aka: []string{"field", "output", "to"},
				field: sat(func(s *Satellite) any { return &s.Route.Member }), dropped: whenSet},
		}}
}

func workKeyKey() *key {
	return &key{name: "key", kind: exprKind{key: true}, doc: `Expression: messages of one key are handled one at a time, in the order of their arrival, across all instances and retries: "payload.host". ` +
		"Messages whose key is nil or cannot be told are handled as if there were none. Keys take turns.", aka: []string{"order", "order_by", "partition_key", "ordering_key", "group"},
		field: sat(func(s *Satellite) any { return &s.Work.Key }), dropped: whenSet}
}

// exprKind is an expression over a message.
type exprKind struct{ key bool }

func (exprKind) typ() string { return "expression" }
func (e exprKind) wants(*key) string {
	if e.key {
		return `an expression like "payload.host"`
	}
	return `an expression like "payload.load1 > 4"`
}
func (e exprKind) read(r *reader, k *key, n *node) (any, bool) {
	text, ok := textKind{}.read(r, k, n)
	if !ok {
		return nil, false
	}
	if r.condition == nil {
		return text, true
	}
	off, wrong, hint := r.condition(text.(string), e.key)
	if wrong != "" {
		if text != n.scalar {
			off = 0 // the offset is one of the expanded text
		}
		r.flaw(n, &flaw{off, wrong, hint})
		return nil, false
	}
	return text, true
}
func (exprKind) format(v any) string        { return quote(v.(string), false) }
func (exprKind) schema(*key) map[string]any { return map[string]any{"type": "string", "minLength": 1} }

// stepKind is the name of a satellite.
type stepKind struct{ textKind }

func (stepKind) typ() string       { return "name" }
func (stepKind) wants(*key) string { return "the name of a satellite" }

// linksKind is a name, a list of names, or a table with a name for each link.
type linksKind struct{}

func (linksKind) typ() string       { return "name, list or table" }
func (linksKind) wants(*key) string { return "a name, a list of names, or a table of names" }

func (t linksKind) read(r *reader, k *key, n *node) (any, bool) {
	if n.shape == shapeTable {
		return r.linkTable(n), true
	}
	texts, at, ok := r.strings(k, n, false)
	if !ok {
		return nil, false
	}
	var links []Link
	for _, s := range texts {
		links = append(links, Link{To: s})
	}
	r.distinct(k, texts, at)
	return links, true
}

// linkTable reads every name, whatever is wrong about its options: the links themselves are checked further.
func (r *reader) linkTable(n *node) []Link {
	schema := linkKeys().settle("")
	var links []Link
	for _, c := range n.fields {
		l := Link{To: c.name}
		if c.shape != shapeTable {
			r.problem(c.at, "write "+shorten(c.name)+" = {}", "a link wants a table { ... }, not %s", c.what())
		} else {
			r.link(schema, c, &l)
		}
		links = append(links, l)
	}
	return links
}

// link reads the options of one link.
func (r *reader) link(schema *key, n *node, l *Link) {
	said := r.table(schema, n)
	fill(schema.keys, said, l)
	if sample := said.find("sample"); sample != nil && !sample.bad && l.Sample == 0 {
		r.problem(sample.pos.off, "leave the link out", "a link with sample = 0 takes nothing")
	}
	move := said.find("move")
	if move == nil {
		return
	}
	switch to := move.find("to"); {
	case to == nil:
		r.problem(move.pos.off, "", `move wants to = "NAME"`)
	case !to.bad && l.Move.To == l.To:
		r.problem(to.pos.off, "", "the link to %s moves to itself", shorten(l.To))
	case move.find("percent") == nil:
		r.problem(move.pos.off, "", "move wants percent = NUMBER: how much of the messages")
	}
}

// fill puts what was said into the fields of an owner.
func fill(keys []*key, said *setting, owner any) {
	for _, k := range keys {
		given := said.find(k.name)
		switch {
		case given == nil || given.bad:
		case len(k.keys) > 0:
			fill(k.keys, given, owner)
		default:
			assign(k.field(owner), given.value)
		}
	}
}

func (linksKind) format(v any) string {
	links := v.([]Link)
	plain := true
	var names, tables []string
	for _, l := range links {
		text, _ := render(&key{kind: tableKind{}, keys: linkKeys().keys}, &l)
		if len(text) <= len("{  }") {
			text = "{}"
		}
		plain = plain && text == "{}"
		names, tables = append(names, l.To), append(tables, keyText(l.To)+" = "+text)
	}
	if plain {
		return quoteAll(names, false)
	}
	return "{ " + strings.Join(tables, ", ") + " }"
}

func (linksKind) schema(*key) map[string]any {
	out := oneOrList()
	out["oneOf"] = append(out["oneOf"].([]any), map[string]any{"type": "object", "additionalProperties": tableSchema(linkKeys())})
	return out
}
