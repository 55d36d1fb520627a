package topology

import "fmt"

// CheckListener says what is wrong with an address that was given as a flag instead of in the file: the same rules as for
// daemon.http, "" is none.
func CheckListener(address string) error {
	if address == "" {
		return nil
	}
	host, port, ok := splitAddress(address)
	switch {
	case !ok:
		return fmt.Errorf("cannot listen on %q: want an address like 127.0.0.1:9555", address)
	case !loopback(host):
		return fmt.Errorf("cannot listen on %q beyond loopback without keys: keys are not in this version; use 127.0.0.1:%d and reach it through a tunnel or a proxy", address, port)
	}
	return nil
}
