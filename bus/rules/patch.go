package rules

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// numbering gives each function with memory its key, or nil, and the number of its place.
type numbering struct {
	n    int
	seen map[*ast.CallNode]bool
}

// Visit implements ast.Visitor; children come before their parents, as in the walk of inspection.
func (v *numbering) Visit(node *ast.Node) {
	call, ok := (*node).(*ast.CallNode)
	if !ok || v.seen[call] {
		return
	}
	callee, ok := call.Callee.(*ast.IdentifierNode)
	if !ok {
		return
	}
	s, ok := stateful()[callee.Value]
	if !ok {
		return
	}
	if v.seen == nil {
		v.seen = map[*ast.CallNode]bool{}
	}
	v.seen[call] = true
	if len(call.Arguments) == len(s.args) {
		call.Arguments = append(slices.Clip(call.Arguments), &ast.NilNode{})
	}
	call.Arguments = append(slices.Clip(call.Arguments), &ast.IntegerNode{Value: v.n})
	v.n++
}

// meter is the function that counts steps by the elements or bytes of a value, deepMeter the one that counts all that is in it.
// Nobody can write them: inspect knows no such names.
const (
	meter     = "__steps"
	deepMeter = "__deep"
)

// meterUnit is a step in the units of weights.
const meterUnit = 16

// metering lets what takes long on large values count its steps.
type metering struct{ seen map[ast.Node]bool }

// Visit implements ast.Visitor.
func (v *metering) Visit(node *ast.Node) {
	if v.seen == nil {
		v.seen = map[ast.Node]bool{}
	}
	if v.seen[*node] {
		return
	}
	v.seen[*node] = true
	switch n := (*node).(type) {
	case *ast.BuiltinNode:
		v.builtin(n)
	case *ast.BinaryNode:
		v.binary(n)
	case *ast.CallNode:
		if len(n.Arguments) > 0 && !metered(n) {
			n.Arguments[0] = v.wrap(deepMeter, n.Arguments[0], meterUnit)
		}
	}
}

func (v *metering) builtin(n *ast.BuiltinNode) {
	name, weight := meter, meterUnit/4
	if n.Name == "string" {
		name = deepMeter
	}
	if len(n.Arguments) > 1 {
		if p, loop := n.Arguments[1].(*ast.PredicateNode); loop {
			weight = meterUnit * (1 + size(p))
		}
	}
	if len(n.Arguments) > 0 {
		n.Arguments[0] = v.wrap(name, n.Arguments[0], weight)
	}
}

func (v *metering) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "matches":
		n.Left = v.wrap(meter, n.Left, 4*meterUnit)
	case "in":
		n.Right = v.wrap(deepMeter, n.Right, meterUnit)
	case "contains", "startsWith", "endsWith":
		n.Left = v.wrap(meter, n.Left, 1)
	case "+":
		n.Left, n.Right = v.wrap(meter, n.Left, 1), v.wrap(meter, n.Right, 1)
	case "==", "!=", "<", ">", "<=", ">=":
		if long(n.Right) {
			n.Left = v.wrap(deepMeter, n.Left, 1)
		}
	}
}

func metered(n *ast.CallNode) bool {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	return ok && (callee.Value == meter || callee.Value == deepMeter)
}

// long reports whether a value could be a large one: something of the payload.
func long(n ast.Node) bool {
	v := searching(false)
	ast.Walk(&n, &v)
	return bool(v)
}

type searching bool

// Visit implements ast.Visitor.
func (v *searching) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PointerNode:
		*v = true
	case *ast.IdentifierNode:
		*v = *v || n.Value == "payload"
	}
}

func (v *metering) wrap(name string, n ast.Node, weight int) ast.Node {
	if !long(n) {
		return n
	}
	call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: []ast.Node{n, &ast.IntegerNode{Value: weight}}}
	call.SetLocation(n.Location())
	v.seen[call] = true
	return call
}

// size is the number of nodes of a tree.
func size(n ast.Node) int {
	c := counting(0)
	ast.Walk(&n, &c)
	return int(c)
}

type counting int

// Visit implements ast.Visitor.
func (c *counting) Visit(*ast.Node) { *c++ }
