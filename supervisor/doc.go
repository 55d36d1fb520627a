// Package supervisor keeps every instance of every satellite in its wanted state.
//
// An instance has two axes that are never merged: what is wanted of it (up or down) and what it is (stopped, starting, running,
// stopping, backoff, exited, fatal). One table of state and event says what happens next (table.go). Its state is changed by one
// goroutine at a time, its owner, which runs only while there is something to do: a thousand idle instances cost no goroutine,
// no thread and no wake-up. Everybody else posts events, which never blocks, or reads immutable snapshots.
//
// Four loops serve all instances together:
//
//	spawner  forks and executes (spawn.go)
//	reaper   is told of exits by the kernel (SIGCHLD, wait4(-1)) and owns the table of pids; signals go through it, so that a
//	         recycled pid is never hit (reaper.go)
//	output   reads all captured pipes through one epoll set (output.go)
//	sweeper  finds and ends what dead processes left behind (sweep.go)
//
// The lines that are read are kept by package logs, which knows nothing of processes.
//
// Beside such a reaper os/exec and os.StartProcess lose exits: nothing in the daemon may use them.
//
// The package knows nothing of messages. Whoever carries them is told of lives and deaths through Bus.
package supervisor
