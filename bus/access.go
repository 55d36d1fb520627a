package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// Owner is whose a process is: the numbers of its user and of its group.
type Owner struct{ UID, GID int }

// foreign: it is not dsatd's own user, so that what is dsatd's is closed to it.
func (w Owner) foreign() bool { return w.UID != os.Geteuid() }

// access is who may connect to bus.sock beside dsatd's own user: the users of satellites that speak bus, by a list on the file itself
// (acl(5)), so that it is open to nobody else, whatever the directories above it say. Who connects still has to show the token of its life.
type access struct {
	path string

	mu    sync.Mutex
	users map[topology.Ref]int // of the newest life of each instance that is another user's
	open  []int                // who is on the list now, in order
}

// shut closes the file to everybody but its owner. libzmq makes it as the umask says.
func (a *access) shut() error {
	if err := os.Chmod(a.path, 0o600); err != nil {
		return fmt.Errorf("cannot close the bus to other users: %w", err)
	}
	return nil
}

// admit lets the user of an instance in. Whose satellite is not in the topology any more is taken off the list with the next change.
func (a *access) admit(t *topology.Topology, ref topology.Ref, who Owner) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.users, ref)
	if who.foreign() {
		if a.users == nil {
			a.users = make(map[topology.Ref]int)
		}
		a.users[ref] = who.UID
	}
	maps.DeleteFunc(a.users, func(r topology.Ref, _ int) bool { return t.Satellite(r.Name) == nil })
	users := slices.Sorted(maps.Values(a.users))
	users = slices.Compact(users)
	if slices.Equal(users, a.open) {
		return nil
	}
	err := unix.Setxattr(a.path, aclName, accessList(users), 0)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("cannot open the bus to user %d: the file system of %s keeps no access lists; choose a --run-dir on one that does (tmpfs, ext4, xfs, btrfs)", who.UID, filepath.Dir(a.path))
	}
	if err != nil {
		return fmt.Errorf("cannot open the bus to user %d: %w", who.UID, err)
	}
	a.open = users
	return nil
}

// The form of an access list in the kernel's attribute (include/uapi/linux/posix_acl_xattr.h): a version, then entries of tag, rights
// and number in the order of their tags; those of users in order of their numbers.
const (
	aclName    = "system.posix_acl_access"
	aclVersion = 2
	aclOwner   = 0x01
	aclUser    = 0x02
	aclGroup   = 0x04
	aclMask    = 0x10
	aclOther   = 0x20
	aclNobody  = 0xffffffff // the entry names nobody
	aclRW      = 6
)

// accessList lets the owner and these users, in order, read and write, and nobody else do anything.
func accessList(users []int) []byte {
	list := binary.LittleEndian.AppendUint32(nil, aclVersion)
	add := func(tag, rights uint16, id uint32) {
		list = binary.LittleEndian.AppendUint16(list, tag)
		list = binary.LittleEndian.AppendUint16(list, rights)
		list = binary.LittleEndian.AppendUint32(list, id)
	}
	add(aclOwner, aclRW, aclNobody)
	for _, u := range users {
		add(aclUser, aclRW, uint32(u))
	}
	add(aclGroup, 0, aclNobody)
	if len(users) > 0 {
		add(aclMask, aclRW, aclNobody)
	}
	add(aclOther, 0, aclNobody)
	return list
}

// furnish makes the socket directory of one life, which belongs to its user and is closed to everybody else.
func (b *Bus) furnish(ref topology.Ref, inc topology.Incarnation, who Owner) (dir string, err error) {
	dir = b.pluginDir(ref, inc)
	if err = os.MkdirAll(dir, 0o700); err == nil && who.foreign() {
		if err = os.Chmod(b.pluginRoot(), 0o711); err == nil {
			err = os.Chown(dir, who.UID, who.GID)
		}
	}
	if err != nil {
		return "", fmt.Errorf("cannot make the socket directory of %v: %w", ref, err)
	}
	return dir, nil
}

// vouch refuses the address of a plugin that is another user's unless it lies in the directory made for it: dsatd, which may be root,
// is not to be sent to somebody else's socket.
func (b *Bus) vouch(ref topology.Ref, inc topology.Incarnation, who Owner, addr string) error {
	if dir := b.pluginDir(ref, inc); who.foreign() && filepath.Dir(filepath.Clean(addr)) != dir {
		return fmt.Errorf("cannot attach to plugin %v: it serves at %.200q, which is not in %s (PLUGIN_UNIX_SOCKET_DIR), and it is another user's", ref, addr, dir)
	}
	return nil
}

// isOf refuses a connection at whose other end another user listens than expected: a socket can be swapped for a link to another.
func isOf(conn net.Conn, uid int) error {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("it is no unix socket")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	cerr := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(cerr, err); err != nil {
		return err
	}
	if int(cred.Uid) != uid {
		return fmt.Errorf("user %d listens there, not user %d", cred.Uid, uid)
	}
	return nil
}
