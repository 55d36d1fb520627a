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
	return fmt.Sprintf("ledger: admitted %s = done %s + quarantined %s + expired %s + cancelled %s + dropped %s + held %s + in flight %s  %s",
		grouped(l.Admitted), grouped(l.Done), grouped(l.Quarantined), grouped(l.Expired), grouped(l.Cancelled), grouped(l.Dropped),
		grouped(l.Held), grouped(l.InFlight), verdict)
}
