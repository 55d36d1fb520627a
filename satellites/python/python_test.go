// Package python runs the tests of dsat.py.
package python

import (
	"os"
	"os/exec"
	"testing"
)

// debian is the interpreter that dsat.py is for: another python3 may come first in PATH and lack pyzmq.
const debian = "/usr/bin/python3"

// The unit tests in Python: golden vectors of bus/wire, and sessions over ZeroMQ.
func TestDsatPy(t *testing.T) {
	if err := exec.Command(debian, "-c", "import zmq").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot test dsat.py: %s without zmq: %v; apt install python3-zmq", debian, err)
		}
		t.Skipf("%s without zmq: %v; apt install python3-zmq", debian, err)
	}
	cmd := exec.Command(debian, "-B", "-m", "unittest", "test_wire")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
