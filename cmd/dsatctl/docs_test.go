package main

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestDocs keeps docs/dsatctl.md the same as the tree of commands.
func TestDocs(t *testing.T) {
	tool := &tool{out: bufio.NewWriter(io.Discard)}
	var b strings.Builder
	b.WriteString("# dsatctl\n\nWritten from the commands themselves by `go test ./cmd/dsatctl -run TestDocs -update`.\n\n")
	document(&b, tool.root(), 2)
	golden(t, filepath.Join("..", "..", "docs", "dsatctl.md"), strings.TrimRight(b.String(), "\n")+"\n")
}

func document(b *strings.Builder, cmd *cobra.Command, level int) {
	if cmd.Hidden {
		return
	}
	if cmd.HasParent() {
		fmt.Fprintf(b, "%s %s\n\n%s.\n\n", strings.Repeat("#", level), cmd.CommandPath(), cmd.Short)
	}
	fmt.Fprintf(b, "```\n%s\n```\n\n", cmd.UseLine())
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(b, "Also: `%s`.\n\n", strings.Join(cmd.Aliases, "`, `"))
	}
	paragraph := cmd.Long
	if text, codes, found := strings.Cut(cmd.Long, "\n\nExit codes:\n"); found {
		fmt.Fprintf(b, "%s\n\n", text)
		paragraph = "Exit codes:\n\n```\n" + codes + "\n```"
	}
	if text, listing, found := strings.Cut(paragraph, "\n\n  "); found {
		paragraph = text + "\n\n```\n  " + listing + "\n```"
	}
	if paragraph != "" {
		fmt.Fprintf(b, "%s\n\n", paragraph)
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "```\n%s\n```\n\n", cmd.Example)
	}
	cmd.InitDefaultHelpFlag()
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(b, "```\n%s```\n\n", flags.FlagUsages())
	}
	for _, c := range cmd.Commands() {
		document(b, c, min(level+1, 4))
	}
}
