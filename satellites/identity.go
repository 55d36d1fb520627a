package satellites

import (
	"fmt"
	"os"
	"strconv"
)

// Identity is who this process is in its topology, as dsatd told it through the environment.
type Identity struct {
	Name        string // of the satellite, which is the step: DSAT_NAME
	WID         int    // slot of the instance: DSAT_WID
	Incarnation uint64 // of the process: DSAT_INCARNATION
	Topology    string // DSAT_TOPOLOGY
	Dir         string // the topology file's directory: DSAT_DIR; relative paths in options start here
	Token       string // proves to the bus that this is the process it admitted: DSAT_TOKEN
}

// String is "cpu:0".
func (i Identity) String() string { return i.Name + ":" + strconv.Itoa(i.WID) }

// Self reads the identity from the environment. The error says which variable is missing: a satellite is started by
// dsatd, not by hand.
func Self() (Identity, error) {
	id := Identity{
		Name:     os.Getenv("DSAT_NAME"),
		Topology: os.Getenv("DSAT_TOPOLOGY"),
		Dir:      os.Getenv("DSAT_DIR"),
		Token:    os.Getenv("DSAT_TOKEN"),
	}
	if id.Name == "" {
		return id, fmt.Errorf("cannot find out who this satellite is: DSAT_NAME is not set; dsatd starts satellites, see `dsatd check`")
	}
	wid, err := strconv.Atoi(os.Getenv("DSAT_WID"))
	if err != nil || wid < 0 {
		return id, fmt.Errorf("cannot read DSAT_WID %q: want a number", os.Getenv("DSAT_WID"))
	}
	id.WID = wid
	id.Incarnation, err = strconv.ParseUint(os.Getenv("DSAT_INCARNATION"), 10, 64)
	if err != nil {
		return id, fmt.Errorf("cannot read DSAT_INCARNATION %q: want a number", os.Getenv("DSAT_INCARNATION"))
	}
	return id, nil
}
