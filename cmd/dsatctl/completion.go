package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dsat/dsat/web/control"
)

// completionPatience is how long a shell may wait for a Tab.
const completionPatience = 500 * time.Millisecond

const completionHelp = `Print a script that teaches the shell to complete dsatctl, with the names of the running daemon.

  bash:  source <(dsatctl completion bash)          in ~/.bashrc
  zsh:   source <(dsatctl completion zsh)           in ~/.zshrc, after compinit
  fish:  dsatctl completion fish | source           in ~/.config/fish/config.fish`

func (t *tool) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "completion bash|zsh|fish",
		Short:                 "Print the completion script of a shell",
		Long:                  completionHelp,
		DisableFlagsInUseLine: true,
		ValidArgs:             []string{"bash", "zsh", "fish"},
		Args:                  exactly("bash, zsh or fish"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(t.out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(t.out)
			case "fish":
				return cmd.Root().GenFishCompletion(t.out, true)
			}
			return usageError("cannot complete in " + args[0] + ": choose bash, zsh or fish")
		},
	}
}

// completions asks the running daemon for names that are not given yet. A daemon that cannot be asked offers nothing: a
// shell has no place for an error.
func (t *tool) completions(cmd *cobra.Command, names func(*control.Status) []string, given []string, begun string) ([]string, cobra.ShellCompDirective) {
	socket, err := t.socketPath()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	status, err := control.Dial(socket).Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	fitting := slices.DeleteFunc(names(status), func(name string) bool {
		return !strings.HasPrefix(name, begun) || slices.Contains(given, name)
	})
	return fitting, cobra.ShellCompDirectiveNoFileComp
}
