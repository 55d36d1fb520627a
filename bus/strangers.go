package bus

import (
	"fmt"
	"time"

	"github.com/dsat/dsat/topology"
)

// strangers keeps who comes again and again from filling the events: so many a second are told one by one, the rest by their
// number when the second is over.
type strangers struct {
	second int64 // when the present second began, ns since the start
	told   int   // in it
	untold int   // in it, beyond those
}

const toldASecond = 16

// meet reports whether this one is to be told.
func (s *strangers) meet(now int64) bool {
	if now-s.second >= int64(time.Second) && s.untold == 0 {
		s.second, s.told = now, 0
	}
	if s.told == toldASecond {
		s.untold++
		return false
	}
	s.told++
	return true
}

// rest returns how many were not told in a second that is over, else when it will be; 0: all were.
func (s *strangers) rest(now int64) (untold int, due int64) {
	if s.untold == 0 {
		return 0, 0
	}
	if end := s.second + int64(time.Second); now < end {
		return 0, end
	}
	untold, s.untold = s.untold, 0
	return untold, 0
}

// tellStranger says that a connection of nobody was refused.
func (o *orchester) tellStranger(why string) {
	if o.strangers.meet(o.now) {
		o.tellEvent("", topology.Ref{}, 0, "refused a connection: "+why)
	}
}

// tellStrangers says how many were refused beyond those told, and returns when it wants to be asked again; 0: not.
func (o *orchester) tellStrangers() int64 {
	untold, due := o.strangers.rest(o.now)
	if untold > 0 {
		o.tellEvent("", topology.Ref{}, 0, fmt.Sprintf("refused %d more connections", untold))
	}
	return due
}
