package topology

import (
	"slices"
	"strings"
)

// digraph has the satellites as nodes, by their place in the file: out[i] are the ends of the edges of i.
type digraph struct{ out [][]int }

// starts is who waits for whom at the start: an edge goes to what is needed.
func (t *Topology) starts() digraph {
	return t.digraph(func(s *Satellite) (to []string) {
		for _, n := range s.Needs {
			to = append(to, n.Name)
		}
		return append(to, s.After...)
	})
}

// flows is where messages go.
func (t *Topology) flows() digraph {
	return t.digraph((*Satellite).Sends)
}

func (t *Topology) digraph(edges func(*Satellite) []string) digraph {
	at := make(map[string]int, len(t.Satellites))
	for i, s := range t.Satellites {
		at[s.Name] = i
	}
	g := digraph{make([][]int, len(t.Satellites))}
	for i, s := range t.Satellites {
		for _, name := range edges(s) {
			if j, ok := at[name]; ok {
				g.out[i] = append(g.out[i], j)
			}
		}
	}
	return g
}

// circular returns the groups of nodes that reach each other, each sorted, in order of their first; a node that reaches
// itself only by its own edge counts. (Tarjan's strongly connected components.)
func (g digraph) circular() [][]int {
	var (
		out     [][]int
		stack   []int
		index   = make([]int, len(g.out)) // 0: not visited
		low     = make([]int, len(g.out))
		onStack = make([]bool, len(g.out))
		count   int
		visit   func(v int)
	)
	visit = func(v int) {
		count++
		index[v], low[v] = count, count
		stack = append(stack, v)
		onStack[v] = true
		for _, w := range g.out[v] {
			if index[w] == 0 {
				visit(w)
				low[v] = min(low[v], low[w])
			} else if onStack[w] {
				low[v] = min(low[v], index[w])
			}
		}
		if low[v] != index[v] {
			return
		}
		at := len(stack) - 1
		for stack[at] != v {
			at--
		}
		part := slices.Sorted(slices.Values(stack[at:]))
		for _, w := range part {
			onStack[w] = false
		}
		stack = stack[:at]
		if len(part) > 1 || slices.Contains(g.out[v], v) {
			out = append(out, part)
		}
	}
	for v := range g.out {
		if index[v] == 0 {
			visit(v)
		}
	}
	slices.SortFunc(out, func(a, b []int) int { return a[0] - b[0] })
	return out
}

// cycle is a shortest way from the first node of a circular group back to itself, without the repetition.
func (g digraph) cycle(part []int) []int {
	from := map[int]int{}
	queue := []int{part[0]}
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		for _, w := range g.out[v] {
			if w == part[0] {
				way := []int{v}
				for v != part[0] {
					v = from[v]
					way = append(way, v)
				}
				slices.Reverse(way)
				return way
			}
			if _, seen := from[w]; !seen {
				from[w] = v
				queue = append(queue, w)
			}
		}
	}
	return part
}

// cycles is one cycle of each circular group.
func (g digraph) cycles() [][]int {
	var out [][]int
	for _, part := range g.circular() {
		out = append(out, g.cycle(part))
	}
	return out
}

// path writes a cycle as "a -> b -> a".
func (t *Topology) path(cycle []int) string {
	var names []string
	for _, i := range cycle {
		if names = append(names, t.Satellites[i].Name); len(names) == 10 && len(cycle) > 10 {
			names = append(names, "...")
			break
		}
	}
	return strings.Join(append(names, t.Satellites[cycle[0]].Name), " -> ")
}

// Order returns the names in layers: each waits (by needs and after) only for such in layers before its own. Inside a layer
// they are in file order.
func (t *Topology) Order() [][]string {
	g := t.starts()
	layer := make([]int, len(g.out)) // 0: not known yet; from 1
	var depth func(v int) int
	depth = func(v int) int {
		if layer[v] == 0 {
			d := 1
			for _, w := range g.out[v] {
				d = max(d, depth(w)+1)
			}
			layer[v] = d
		}
		return layer[v]
	}
	var out [][]string
	for v, s := range t.Satellites {
		d := depth(v)
		for len(out) < d {
			out = append(out, nil)
		}
		out[d-1] = append(out[d-1], s.Name)
	}
	return out
}

// Sources returns the names of the satellites that speak to the bus and are fed by no link, in file order: where work
// enters. They are stopped first.
func (t *Topology) Sources() []string {
	fed := map[string]bool{}
	for _, s := range t.Satellites {
		for _, name := range s.Feeds() {
			fed[name] = true
		}
	}
	var out []string
	for _, s := range t.Satellites {
		if s.Speaks != SpeaksNone && !fed[s.Name] && !t.LegacyFed(s.Name) {
			out = append(out, s.Name)
		}
	}
	return out
}
