package topology

import (
	"strings"
	"syscall"
	"time"
)

// Check looks again and again whether a running instance is well.
type Check struct {
	Name string
	Kind CheckKind
	Exec []string // argv: well when it ends with 0
	Get  string   // URL that answers with one of Status
	TCP  string   // host:port that accepts
	GRPC string   // host:port, or host:port/SERVICE, that answers SERVING (grpc.health.v1)

	Status []int  // of Get; nil: 200 to 399
	Body   string // of Get: regular expression on the first 64 KiB of the answer; "": any

	Progress time.Duration // CheckProgress: work in hand, and none of it done for so long

	Delay     time.Duration // from ready to the first look
	Every     time.Duration // from one look to the next
	Deadline  time.Duration // of one look
	Failures  int           // in a row make it sick
	Successes int           // in a row make it well again
	Then      CheckThen
	Signal    syscall.Signal // of CheckSignal
}

// CheckKind is the way a check looks.
type CheckKind string

// The closed set of CheckKind.
const (
	CheckExec     CheckKind = "exec"
	CheckGet      CheckKind = "get"
	CheckTCP      CheckKind = "tcp"
	CheckGRPC     CheckKind = "grpc"
	CheckBus      CheckKind = "bus"      // its session answers a PING
	CheckProgress CheckKind = "progress" // what it has in hand gets done
)

// CheckThen is what follows when a check has failed often enough.
type CheckThen string

// The closed set of CheckThen.
const (
	CheckRestart CheckThen = "restart" // stopped, and judged as failed
	CheckSignal  CheckThen = "signal"  // sent Signal, again after each further Failures
	CheckUnready CheckThen = "unready" // not ready until it is well again
	CheckNothing CheckThen = "nothing" // shown and counted
)

// SplitService takes "host:port/SERVICE" apart; without a service it is "", which asks for the server as a whole.
func SplitService(text string) (address, service string) {
	address, service, _ = strings.Cut(text, "/")
	return address, service
}
