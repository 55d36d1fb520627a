// Package logs keeps what satellites print, and reads it back.
//
// Each instance has a Book over all its lives. A line that is appended to it goes into a ring in memory, to those who follow, and, as the
// rules of its satellite say, to files and to sinks outside (syslog, journald). Nobody who appends waits: not for a disk, a sink or a
// follower. What does not fit a buffer is lost, counted, and said.
//
//	file:  NAME.WID.log, rotated to NAME.WID.log.TIME, compressed to NAME.WID.log.TIME.gz (name.go; a line of it: line.go)
//	time:  grows along a book, so that no two of its lines have the same; a file is searched for a time by halving it (read.go)
//	order: Seq grows over all books in the order of appending
//
// A Reader answers a Query from memory and files together. Its memory is bounded, whatever the files hold, and whatever others have written
// into them.
//
// Goroutines: the writer of all files (Library.Run), an archivist while rotated files are to be compressed or removed, and a forwarder for
// each sink, from its first line on.
//
// The package knows nothing of processes and pipes: it is handed lines, already cut.
package logs
