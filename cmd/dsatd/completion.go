package main

import (
	"fmt"
	"os"
	"strings"
)

// completion prints a script that completes commands and then files; dsatctl has one of its own, which knows satellites.
func completion(args []string) int {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	words := strings.Join(names, " ")
	scripts := map[string]string{
		"bash": "_dsatd() {\n" +
			"  if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W '" + words + "' -- \"${COMP_WORDS[1]}\")); else COMPREPLY=($(compgen -f -- \"${COMP_WORDS[COMP_CWORD]}\")); fi\n" +
			"}\ncomplete -o filenames -F _dsatd dsatd\n",
		"zsh":  "#compdef dsatd\n_arguments '1:command:(" + words + ")' '*:file:_files'\n",
		"fish": "complete -c dsatd -n __fish_use_subcommand -f -a '" + words + "'\n",
	}
	if len(args) != 1 || scripts[args[0]] == "" {
		fmt.Fprintln(os.Stderr, "usage: dsatd completion bash|zsh|fish")
		return exitUsage
	}
	fmt.Print(scripts[args[0]])
	return exitOK
}
