package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/parser"
)

// argument is what a function takes.
type argument int

const (
	anyArg      argument = iota
	wholeArg             // a whole number from 1 on, written down
	durationArg          // a duration, written down
)

type signature struct {
	args  []argument
	keyed bool // a key may follow
	doc   string
}

// ours is all functions that are not the library's.
func ours() map[string]signature {
	all := stateful()
	all["hash"] = signature{args: []argument{anyArg, wholeArg}, doc: "hash(payload.host, 10): a number from 0 to 9, always the same for the same value"}
	return all
}

// builtins is the library's functions that take no more steps than what they are given has elements or bytes.
func builtins() []string {
	return []string{"all", "any", "none", "one", "filter", "find", "findIndex", "count", "len", "abs", "ceil", "floor", "round", "int", "float",
		"string", "lower", "upper", "trim", "trimPrefix", "trimSuffix", "hasPrefix", "hasSuffix", "indexOf", "lastIndexOf", "min", "max", "sum",
		"mean", "first", "get", "keys", "values", "type"}
}

// inspection is a walk over the tree of an expression before the library checks types.
type inspection struct {
	text      string
	want      Want
	fault     *Fault
	uses      uses
	numbering numbering
	places    []string // names of functions with memory, in the order of the walk
	nodes     int
}

// inspect finds what an expression uses, and what it may not.
func inspect(text string, want Want) (*inspection, *Fault) {
	in := &inspection{text: text, want: want}
	tree, err := parse(text)
	if err != nil {
		return nil, faultOf(text, err)
	}
	in.walk(tree.Node)
	if in.fault == nil && in.nodes > maxNodes {
		in.blame(tree.Node, "", "the expression has %d parts, and %d is the most", in.nodes, maxNodes)
	}
	return in, in.fault
}

// parse reads an expression; last is ours, and no function of the library.
func parse(text string) (tree *parser.Tree, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the expression cannot be read: %v", p)
		}
	}()
	if depth(text) > maxNodes {
		return nil, errors.New("the expression is nested too deep")
	}
	return parser.ParseWithConfig(text, parserConfig())
}

// parserConfig knows no function of the library whose name is one of ours.
func parserConfig() *conf.Config {
	c := conf.New(&header{})
	for name := range ours() {
		c.Disabled[name] = true
	}
	c.MaxNodes = maxNodes * 2
	return c
}

// depth is an upper bound of how deep an expression is nested: the parser recurses, and knows no limit of its own.
func depth(text string) int {
	deepest, open, run := 0, 0, 0
	for _, c := range text {
		switch c {
		case '(', '[', '{', '?':
			open++
		case ')', ']', '}':
			open--
		}
		if c == '!' || c == '-' || c == '+' {
			run++
		} else if c != ' ' {
			run = 0
		}
		deepest = max(deepest, open+run)
	}
	return deepest + strings.Count(text, "not ")/2
}

func (in *inspection) blame(n ast.Node, hint, format string, args ...any) {
	if in.fault == nil {
		in.fault = &Fault{Off: byteAt(in.text, n.Location().From), Text: fmt.Sprintf(format, args...), Hint: hint}
	}
}

// walk judges a node and those below it.
func (in *inspection) walk(node ast.Node) {
	if node == nil || in.fault != nil {
		return
	}
	in.nodes++
	switch n := node.(type) {
	case *ast.NilNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.PointerNode, *ast.ConstantNode:
	case *ast.IdentifierNode:
		in.name(n)
	case *ast.UnaryNode:
		in.walk(n.Node)
	case *ast.BinaryNode:
		in.binary(n)
	case *ast.ChainNode:
		in.walk(n.Node)
	case *ast.MemberNode:
		in.walk(n.Node)
		in.walk(n.Property)
	case *ast.SliceNode:
		in.walk(n.Node)
		in.walk(n.From)
		in.walk(n.To)
	case *ast.PredicateNode:
		in.walk(n.Node)
	case *ast.ConditionalNode:
		in.walk(n.Cond)
		in.walk(n.Exp1)
		in.walk(n.Exp2)
	case *ast.ArrayNode:
		for _, c := range n.Nodes {
			in.walk(c)
		}
	case *ast.BuiltinNode:
		if !slices.Contains(builtins(), n.Name) {
			in.unknown(n, n.Name)
			return
		}
		for _, c := range n.Arguments {
			in.walk(c)
		}
	case *ast.CallNode:
		in.call(n)
	default:
		in.blame(node, "", "this is not a part of conditions: they compare, calculate and call functions")
	}
}

func (in *inspection) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "..":
		in.blame(n, "", "conditions have no ranges")
	case "**", "^":
		in.blame(n, "", "conditions have no powers")
	case "matches":
		p, constant := n.Right.(*ast.StringNode)
		if !constant {
			in.blame(n.Right, "", "the pattern of matches has to be written down")
			return
		}
		if _, err := regexp.Compile(p.Value); err != nil {
			in.blame(n.Right, "", "the pattern cannot be read: %v", err)
		}
	}
	in.walk(n.Left)
	in.walk(n.Right)
}

// headerNames is what stands in header, with the tags that expressions know.
func headerNames() []string {
	return []string{"from", "step", "task", "hops", "attempts", "codec", "size", "age", "time", "payload"}
}

func (in *inspection) name(n *ast.IdentifierNode) {
	switch n.Value {
	case "payload":
		in.uses.payload = true
	case "task":
		in.uses.task = true
	}
	if slices.Contains([]string{"age", "time", "attempts"}, n.Value) && in.want == Key {
		in.blame(n, "", "a key follows from the message alone: %s is not the same for ever", n.Value)
	}
	if slices.Contains(headerNames(), n.Value) {
		return
	}
	hint := near(n.Value, headerNames())
	switch {
	case ours()[n.Value].doc != "":
		hint = "it is a function: " + ours()[n.Value].doc
	case hint == "":
		hint = "fields of the message are payload." + n.Value + "; of its header: " + strings.Join(headerNames(), ", ")
	}
	in.blame(n, hint, "a message has no %s", n.Value)
}

func (in *inspection) unknown(n ast.Node, name string) {
	all := builtins()
	for f := range ours() {
		all = append(all, f)
	}
	sort.Strings(all)
	hint := near(name, all)
	if hint == "" {
		hint = "functions are " + strings.Join(slices.Compact(all), ", ")
	}
	in.blame(n, hint, "conditions have no function %s", name)
}

func (in *inspection) call(n *ast.CallNode) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		in.blame(n, "", "what a message holds cannot be called")
		return
	}
	s, known := ours()[callee.Value]
	if !known {
		in.unknown(n, callee.Value)
		return
	}
	most := len(s.args)
	if s.keyed {
		most++
	}
	if len(n.Arguments) < len(s.args) || len(n.Arguments) > most {
		in.blame(n, s.doc, "%s wants %s, not %d", callee.Value, arity(len(s.args), most), len(n.Arguments))
		return
	}
	for i, a := range s.args {
		in.argument(callee.Value, s, a, n.Arguments[i])
	}
	for _, a := range n.Arguments {
		in.walk(a)
	}
	if _, remembers := stateful()[callee.Value]; remembers {
		if in.want == Key {
			in.blame(n, "", "a key follows from the message alone: %s remembers others", callee.Value)
		}
		in.places = append(in.places, callee.Value)
	}
}

func arity(least, most int) string {
	if least == most {
		return fmt.Sprintf("%d arguments", least)
	}
	return fmt.Sprintf("%d argument, and may have a key", least)
}

func (in *inspection) argument(name string, s signature, a argument, n ast.Node) {
	switch a {
	case wholeArg:
		if v, ok := n.(*ast.IntegerNode); !ok || v.Value < 1 {
			in.blame(n, s.doc, "%s wants a whole number from 1 on, written down", name)
		}
	case durationArg:
		v, ok := n.(*ast.StringNode)
		if !ok {
			in.blame(n, s.doc, "%s wants a duration, written down", name)
			return
		}
		if d, err := time.ParseDuration(v.Value); err != nil || d <= 0 {
			in.blame(n, s.doc, "%s wants a duration like \"30s\", not %q", name, v.Value)
		}
	}
}

// near is a hint to the name that was meant, or "".
func near(name string, all []string) string {
	best, least := "", len(name)/2+1
	for _, a := range all {
		if d := distance(strings.ToLower(name), strings.ToLower(a)); d < least {
			best, least = a, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is how many letters have to be put in, taken out or replaced (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
