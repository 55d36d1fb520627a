#!/bin/sh
# Runs a command as the terminal's foreground job: Ctrl-C then reaches the command alone, and make, which would report an
# interrupt whatever the command answered, ends with the command's own exit code.
if [ -t 0 ] && [ -t 1 ]; then
	set -m
	"$@"
else
	exec "$@"
fi
