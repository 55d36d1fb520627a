package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/dsat/dsat/bus/wire"
)

// naming lets a filter that speaks json choose its links: a member of its answer names them, and is taken out of it. It knows the ports of
// links by WELCOME and ROUTES, as an SDK does.
type naming struct {
	member string // "": the filter does not choose

	mu     sync.Mutex
	routes []string
	known  chan struct{} // closed when routes are
	once   sync.Once
}

func newNaming(member string) *naming { return &naming{member: member, known: make(chan struct{})} }

// learn reads the links from a record of the loop.
func (n *naming) learn(rec *wire.Record) {
	if n.member == "" || rec.Kind != wire.Welcome && rec.Kind != wire.Routes {
		return
	}
	var body struct {
		Routes []string `json:"routes"`
	}
	if wire.ParseJSON(rec, &body) != nil {
		return // our own record
	}
	n.mu.Lock()
	n.routes = body.Routes
	n.mu.Unlock()
	n.once.Do(func() { close(n.known) })
}

// read takes the names out of an answer. Ports nil: it names none, and goes to all links; empty: it goes nowhere.
func (n *naming) read(answer []byte) (payload []byte, ports []uint16, err error) {
	if n.member == "" || !bytes.HasPrefix(bytes.TrimLeft(answer, " \t\r\n"), []byte("{")) {
		return answer, nil, nil
	}
	value, rest, err := cutMember(answer, n.member)
	if err != nil || value == nil {
		return answer, nil, nil // whether it is JSON is another's question
	}
	var names []string
	var name string
	switch {
	case string(value) == "null":
		return rest, nil, nil
	case json.Unmarshal(value, &name) == nil:
		names = []string{name}
	case json.Unmarshal(value, &names) != nil:
		return answer, nil, fmt.Errorf("cannot tell where its answer goes: %s is %.80s, and wants the name of a link, or a list of names", n.member, value)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	ports = []uint16{}
	for _, name := range names {
		port := slices.Index(n.routes, name)
		if port < 0 || name == "" {
			return answer, nil, fmt.Errorf("cannot tell where its answer goes: it names %.80q, and its links are %s", name, strings.Join(slices.DeleteFunc(slices.Clone(n.routes), func(r string) bool { return r == "" }), ", "))
		}
		if !slices.Contains(ports, uint16(port)) {
			ports = append(ports, uint16(port))
		}
	}
	return rest, ports, nil
}

// left is an answer with names of those of its links that it did not go to yet.
func (n *naming) left(payload []byte, ports []uint16) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := []string{}
	for _, p := range ports {
		names = append(names, n.routes[p])
	}
	value, _ := json.Marshal(names) // strings
	key, _ := json.Marshal(n.member)
	out := append(append(append(append([]byte{'{'}, key...), ':'), value...), ',')
	if bytes.Equal(payload, []byte("{}")) {
		out = out[:len(out)-1]
	}
	return append(out, payload[1:]...)
}

// cutMember is the value of a member of a JSON object, the last one of that name, and the object without it, each other member as it was
// written. value nil: it has no such member.
func cutMember(object []byte, name string) (value, rest []byte, err error) {
	in := json.NewDecoder(bytes.NewReader(object))
	if _, err := in.Token(); err != nil {
		return nil, nil, err
	}
	rest = []byte{'{'}
	for in.More() {
		begin := in.InputOffset()
		key, err := in.Token()
		if err != nil {
			return nil, nil, err
		}
		written := bytes.TrimLeft(object[begin:in.InputOffset()], ", \t\r\n")
		var member json.RawMessage
		if err := in.Decode(&member); err != nil {
			return nil, nil, err
		}
		if key == name {
			value = member
			continue
		}
		if len(rest) > 1 {
			rest = append(rest, ',')
		}
		rest = append(append(append(rest, written...), ':'), member...)
	}
	if _, err := in.Token(); err != nil {
		return nil, nil, err
	}
	return value, append(rest, '}'), nil
}
