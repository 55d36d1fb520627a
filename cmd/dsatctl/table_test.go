package main

import (
	"strings"
	"testing"
)

// A first row that is shorter than the head: `apply` of a file that changed nothing but a socket ended in a panic.
func TestShortFirstRow(t *testing.T) {
	rows := table{head: []string{"", "NAME", "WHAT", "PIDS"}}
	rows.add(text("~"), text("(daemon)"), text("socket.web.backlog: 1 -> 2"))
	rows.add(text("~"), text("a"), text("changed"), text("7"))
	var b strings.Builder
	rows.write(&b, false)
	if got := b.String(); !strings.Contains(got, "(daemon)  socket.web") || strings.Count(got, "\n") != 3 {
		t.Error(got)
	}
}
