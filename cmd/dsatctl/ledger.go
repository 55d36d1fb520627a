package main

import (
	"fmt"

	"github.com/dsat/dsat/web/control"
)

// ledgerLine is the law of conservation over hops with the numbers put in.
func ledgerLine(l *control.Ledger, paint bool) string {
	verdict := colored("balanced", green, paint)
	if !l.Balanced {
		verdict = colored("NOT BALANCED", red, paint)
	}
	diverted := "" // there is some only where a breaker has a fallback
	if l.Diverted > 0 {
		diverted = " + diverted " + grouped(l.Diverted)
	}
	return fmt.Sprintf("ledger: admitted %s = done %s + quarantined %s + expired %s + cancelled %s + dropped %s%s + held %s + in flight %s  %s",
		grouped(l.Admitted), grouped(l.Done), grouped(l.Quarantined), grouped(l.Expired), grouped(l.Cancelled), grouped(l.Dropped), diverted,
		grouped(l.Held), grouped(l.InFlight), verdict)
}
