package topology

import (
	"fmt"
	"slices"
	"testing"
)

// Members start as the file says, but what one needs or comes after, over whatever is between, goes before it.
func TestGroupStartOrder(t *testing.T) {
	for want, members := range map[string]string{
		"[db cache web]":     `["db", "cache", "web"]`,
		"[web cache]":        `["web", "cache"]`,
		"[db api web cache]": `["api", "web", "cache", "db"]`,
	} {
		topo, err := loadText(t, `
[satellite.web]
command = "w"
[satellite.cache]
command = "c"
[satellite.api]
command = "a"
needs = "between"
[satellite.between]
command = "b"
after = "db"
[satellite.db]
command = "d"
[group.x]
members = `+members)
		if err != nil {
			t.Fatal(err)
		}
		g := topo.Group("x")
		var list []string
		for _, m := range g.Members {
			list = append(list, m)
			if topo.GroupOf(m) != g {
				t.Errorf("%s is not seen in its group", m)
			}
		}
		if got := fmt.Sprint(list); got != want {
			t.Errorf("%s starts as %s, want %s", members, got, want)
		}
		if slices.Contains(list, "between") || topo.GroupOf("between") != nil {
			t.Error("a satellite that is no member is in the group")
		}
	}
}
