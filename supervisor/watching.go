package supervisor

import "golang.org/x/sys/unix"

// watchFor calls tell once, from the output loop, when a descriptor has one of these events, an error, or was hung up. It has left the
// set by then, and still belongs to the caller, who calls unwatch before closing it earlier.
func (o *output) watchFor(fd int, events uint32, tell func()) (id uint64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next++
	ev := unix.EpollEvent{Events: events, Fd: int32(uint32(o.next)), Pad: int32(uint32(o.next >> 32))}
	if err := unix.EpollCtl(o.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return 0, err
	}
	o.ends[o.next] = &ending{fd, tell}
	return o.next, nil
}

// unwatch takes a descriptor out of the set. It reports false when tell was called already, or is about to be.
func (o *output) unwatch(id uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.ends[id]
	if e == nil {
		return false
	}
	delete(o.ends, id)
	_ = unix.EpollCtl(o.epoll, unix.EPOLL_CTL_DEL, e.fd, nil) // cannot fail: it is in the set
	return true
}
