package topology

import (
	"fmt"
	"time"
)

// shape is what a node is, syntactically.
type shape int

const (
	shapeScalar shape = iota
	shapeTable
	shapeArray
)

// node is a value of a file together with where it stands: what the TOML library knows (the values) and what it does not
// tell (the places), joined by fill.
type node struct {
	shape  shape
	name   string // of a table's member
	key    int    // offset of the key; of an array's element: of the value
	at     int    // offset of the value; of a table made by a header: of its key
	fields []*node
	index  map[string]*node
	items  []*node
	scalar any // string, int64, float64, bool, time.Time
}

func newTable(name string, key int) *node {
	return &node{shape: shapeTable, name: name, key: key, at: key}
}

func (n *node) child(name string) *node { return n.index[name] }

// put adds a member. The first of that name stays: a second one is a mistake that the library reports.
func (n *node) put(c *node) {
	if n.index == nil {
		n.index = map[string]*node{}
	}
	if n.index[c.name] == nil {
		n.index[c.name] = c
		n.fields = append(n.fields, c)
	}
}

// descend returns the table of that name, making it where there is none.
func (n *node) descend(name string, key int) *node {
	if c := n.child(name); c != nil {
		return c
	}
	c := newTable(name, key)
	n.put(c)
	return c
}

// fill takes the scalars from what the library decoded. The two read the same text by different code, so a difference is a
// defect of ours: it is reported, not trusted.
func (n *node) fill(v any) error {
	switch v := v.(type) {
	case map[string]any:
		if n.shape != shapeTable || len(v) != len(n.fields) {
			return fmt.Errorf("%q is not the table the parser sees", n.name)
		}
		for _, c := range n.fields {
			cv, ok := v[c.name]
			if !ok {
				return fmt.Errorf("the parser does not see %q", c.name)
			}
			if err := c.fill(cv); err != nil {
				return err
			}
		}
		return nil
	case []map[string]any:
		return fillItems(n, v)
	case []any:
		return fillItems(n, v)
	default:
		if n.shape != shapeScalar {
			return fmt.Errorf("%q is not the value the parser sees", n.name)
		}
		n.scalar = v
		return nil
	}
}

func fillItems[T any](n *node, vs []T) error {
	if n.shape != shapeArray || len(vs) != len(n.items) {
		return fmt.Errorf("%q is not the array the parser sees", n.name)
	}
	for i, c := range n.items {
		if err := c.fill(vs[i]); err != nil {
			return err
		}
	}
	return nil
}

// what names the type of a node for a message.
func (n *node) what() string {
	switch n.shape {
	case shapeTable:
		return "a table"
	case shapeArray:
		return "a list"
	}
	switch n.scalar.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case int64, float64:
		return "a number"
	case time.Time:
		return "a date"
	}
	return "that"
}
