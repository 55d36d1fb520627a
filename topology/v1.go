package topology

import "github.com/dsat/dsat/bus/v1"

// V1 is the door for satellites of DSAT 0.6: sockets that speak its protocol, which package bus/v1 describes.
type V1 struct {
	Where     string            // the host that vectors for this machine name, and those made here carry
	Links     map[string]string // endpoint, a template, by name of the link: PUSH_orchester_CPU
	Variables map[string]string // of the templates
	HWM       int               // messages that a socket of ours holds for one peer, each way
	Full      V1Full
	Expose    bool         // endpoints that others than this machine can reach may be bound
	Open      []v1.Planned // what Links come to; in order of their names
}

// V1Full says what becomes of a vector that arrives for a step whose queue is full and blocks: all sources share one endpoint, so that
// it cannot hold up one of them.
type V1Full string

// The closed set of V1Full.
const (
	V1Quarantine V1Full = "quarantine" // it is set aside, and nobody waits
	V1Block      V1Full = "block"      // the endpoint is not read until there is room: every source at it waits
	V1Drop       V1Full = "drop"       // it is dropped and counted
)

// V1Work is what a satellite that speaks v1 does by itself.
type V1Work struct {
	MaxRetry int    // attempts it makes at one message before it gives it up
	Channel  string // of vectors that are made for it from messages which were none
}

// LegacyFed reports whether a satellite gets work by the type of vectors: a link of [bus.v1] leads to it, so that it is no source, though
// nothing names it in a "to".
func (t *Topology) LegacyFed(name string) bool {
	for i := range t.V1.Open {
		if t.V1.Open[i].To() == name {
			return true
		}
	}
	return false
}
