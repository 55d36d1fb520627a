package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/dsat/dsat/topology"
)

// fetched are values that commands have printed for one fork, by the name of the secret.
type fetched map[string][]byte

// burn forgets them.
func (f fetched) burn() {
	for _, v := range f {
		clear(v)
	}
	clear(f)
}

// gather runs the commands that print secrets of a life, one after the other, and then calls then, from wherever. That one failed is
// for the fork to say. A stop meanwhile ends it.
func (s *Supervisor) gather(l *life, then func()) {
	t := s.roster().topology
	for _, g := range l.spec.Secrets {
		c := t.Secret(g.Secret)
		if _, there := l.fetched[g.Secret]; c == nil || len(c.Command) == 0 || there || l.lacks != nil || l.cancelled.Load() {
			continue
		}
		before := l.guard.Load()
		s.watchOver(l, before, s.inquire(l, c, func() { s.gather(l, then) }))
		return
	}
	then()
}

// inquire runs the command of one secret.
func (s *Supervisor) inquire(l *life, c *topology.Secret, then func()) *errand {
	out := &spool{most: secretLimit, alone: true}
	ref := l.of.ref
	return s.errand(chore{
		ref: ref, argv: c.Command, within: c.Deadline, spool: out,
		env: []string{"DSAT_SECRET=" + c.Name, "DSAT_NAME=" + ref.Name, "DSAT_WID=" + strconv.Itoa(ref.WID)},
		done: func(o outcome) {
			// The reaper may tell of the end under its own lock.
			s.crew.run(func() {
				value, over := out.take()
				switch {
				case o.why != "":
					l.lacks = fmt.Errorf("cannot hand over the secret %s: its command failed: %s (what it prints is not logged: run it by hand to see that)", c.Name, o.why)
				case over:
					l.lacks = fmt.Errorf("cannot hand over the secret %s: its command printed more than %d bytes", c.Name, secretLimit)
				case len(bytes.TrimSuffix(value, []byte{'\n'})) == 0:
					l.lacks = fmt.Errorf("cannot hand over the secret %s: its command printed nothing", c.Name)
				default:
					if l.fetched == nil {
						l.fetched = fetched{}
					}
					l.fetched[c.Name] = bytes.TrimSuffix(value, []byte{'\n'})
				}
				if l.lacks != nil {
					clear(value)
				}
				then()
			})
		},
	})
}

// reveal is the value of a granted secret; the caller clears it. No error holds any of it.
func (s *Supervisor) reveal(l *life, g topology.SecretGrant) ([]byte, error) {
	c := s.roster().topology.Secret(g.Secret)
	switch {
	case c == nil:
		return nil, errors.New("the topology has it no more")
	case len(c.Command) > 0:
		v, ok := l.fetched[g.Secret]
		if !ok {
			return nil, errors.New("its source was changed while the process was being started")
		}
		return slices.Clone(v), nil
	case c.Env != "":
		v, ok := os.LookupEnv(c.Env)
		if !ok {
			return nil, fmt.Errorf("dsatd was started without the variable %s", c.Env)
		}
		return []byte(v), nil
	}
	return readSecret(s.fillings(nil, l.of.ref.WID).Replace(c.File))
}

func readSecret(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe must not hold it up
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	case info.Mode().Perm()&0o027 != 0:
		return nil, fmt.Errorf("%s is open to others (mode %04o): chmod 0600 it", path, info.Mode().Perm())
	case info.Size() > secretLimit:
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), secretLimit)
	}
	return io.ReadAll(io.LimitReader(f, secretLimit))
}

// spool is what a program prints, as it is, up to so many bytes. It reaches no log.
type spool struct {
	most  int  // bytes
	alone bool // standard output only: what it says on the other is dropped

	mu   sync.Mutex
	text []byte
	over bool // there was more
}

func (p *spool) add(text []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.most - len(p.text)
	p.over = p.over || len(text) > room
	grown := append(p.text, text[:min(len(text), room)]...)
	if cap(grown) != cap(p.text) {
		clear(p.text) // it has moved, and what it was moved from may be a secret
	}
	p.text = grown
}

// take gives it away.
func (p *spool) take() (text []byte, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, p.text = p.text, nil
	return text, p.over
}
