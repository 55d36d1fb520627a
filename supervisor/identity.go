package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// identity is whose a process is. The zero value is dsatd's own.
type identity struct {
	cred *syscall.Credential // nil: no change
	name string              // of the user; "" when none was named
	home string
}

// identify looks up the user and the groups of a satellite. It is done anew at each spawn, so that an account may come later.
func identify(p topology.Process) (identity, error) {
	if p.User == "" && p.Group == "" && p.Groups == nil {
		return identity{}, nil
	}
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	var id identity
	var groups []uint32
	if p.User != "" {
		u, err := lookupUser(p.User, p.Group != "")
		if err != nil {
			return identity{}, err
		}
		id.name, id.home = u.Username, u.HomeDir
		if uid, err = number(u.Uid); err != nil {
			return identity{}, fmt.Errorf("cannot run as user %q: its number is %s", p.User, u.Uid)
		}
		if p.Group == "" {
			if gid, err = number(u.Gid); err != nil {
				return identity{}, fmt.Errorf("cannot run as user %q: the number of its group is %s", p.User, u.Gid)
			}
		}
		if p.Groups == nil {
			groups = groupsOf(u)
		}
	} else if own, err := os.Getgroups(); err == nil && p.Groups == nil {
		for _, g := range own {
			groups = append(groups, uint32(g))
		}
	}
	for _, name := range append(slices.Clone(p.Groups), p.Group) {
		if name == "" {
			continue
		}
		g, err := lookupGroup(name)
		if err != nil {
			return identity{}, err
		}
		groups = append(groups, g)
	}
	if p.Group != "" { // it was looked up last, and is no supplementary one
		gid, groups = groups[len(groups)-1], groups[:len(groups)-1]
	}
	if own := uid == uint32(os.Geteuid()) && gid == uint32(os.Getegid()); !own || p.Groups != nil {
		id.cred = &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}
	}
	return id, nil
}

// lookupUser finds a user by name or number. A number without an account will do where its group is named.
func lookupUser(name string, grouped bool) (*user.User, error) {
	u, err := user.Lookup(name)
	if err == nil {
		return u, nil
	}
	if _, bad := number(name); bad != nil {
		var unknown user.UnknownUserError
		if errors.As(err, &unknown) {
			return nil, fmt.Errorf("cannot run as user %q: there is no such user", name)
		}
		return nil, fmt.Errorf("cannot run as user %q: %w", name, err)
	}
	if u, err = user.LookupId(name); err == nil {
		return u, nil
	}
	if !grouped {
		return nil, fmt.Errorf("cannot run as user %s: no account has this number, so that its group is unknown: say group too", name)
	}
	return &user.User{Uid: name, Username: name, HomeDir: "/"}, nil
}

func lookupGroup(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		return number(g.Gid)
	}
	if n, bad := number(name); bad == nil {
		return n, nil
	}
	var unknown user.UnknownGroupError
	if errors.As(err, &unknown) {
		return 0, fmt.Errorf("cannot run with group %q: there is no such group", name)
	}
	return 0, fmt.Errorf("cannot run with group %q: %w", name, err)
}

// groupsOf is the supplementary groups of an account; one without entries in the group file has none.
func groupsOf(u *user.User) []uint32 {
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var groups []uint32
	for _, id := range ids {
		if n, err := number(id); err == nil {
			groups = append(groups, n)
		}
	}
	return groups
}

func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

// uid is the number of its user.
func (id identity) uid() uint32 {
	if id.cred == nil {
		return uint32(os.Geteuid())
	}
	return id.cred.Uid
}

// barred is the first part of a path that is closed to those credentials; "" when none is, or it cannot be seen. The kernel says
// only that something was.
func (id identity) barred(path string) string {
	if id.cred == nil || id.cred.Uid == 0 || !filepath.IsAbs(path) {
		return ""
	}
	for n := 0; n <= len(path); n++ {
		if n < len(path) && (path[n] != '/' || n == 0) {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path[:n], &st) != nil {
			return ""
		}
		open := st.Mode & 1
		switch {
		case st.Uid == id.cred.Uid:
			open = st.Mode & 0o100
		case st.Gid == id.cred.Gid || slices.Contains(id.cred.Groups, st.Gid):
			open = st.Mode & 0o010
		}
		if open == 0 {
			return path[:n]
		}
	}
	return ""
}

// powerless says who dsatd is, after an error that root would not have had.
func powerless() string {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Sprintf(" (dsatd runs as user %d, not as root)", uid)
	}
	return ""
}
