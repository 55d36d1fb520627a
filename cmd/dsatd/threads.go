package main

import (
	"runtime"
	"sync"
)

// spareThreads is more than dsatd was ever seen to use for itself at once.
const spareThreads = 16

// reserveThreads makes the threads that the Go runtime will want, which keeps them for good. It ends the process when it cannot make
// one; without this that would be the day on which a satellite, or another program of the same user, forks until no more is allowed.
func reserveThreads() {
	var all, made sync.WaitGroup
	release := make(chan struct{})
	made.Add(spareThreads)
	for range spareThreads {
		all.Go(func() {
			runtime.LockOSThread() // waiting, it keeps its thread to itself: the next one needs another
			defer runtime.UnlockOSThread()
			made.Done()
			<-release
		})
	}
	made.Wait()
	close(release)
	all.Wait()
}
