package bus

// errFrozen refuses what would change a bus that is about to be handed over.
func errFrozen(what string) *Error {
	return &Error{KindUnavailable, "cannot " + what + ": the daemon is about to be replaced; try again in a moment"}
}
