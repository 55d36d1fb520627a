package logs

import (
	"fmt"
	"testing"
	"time"

	"github.com/dsat/dsat/topology"
)

func TestSlowFollowerLosesAndIsTold(t *testing.T) {
	b := newDesk(t, topology.Log{}).Book
	f := &follower{lines: make(chan Line, 2)}
	b.follow(f, 0, 0)
	for n := range 5 {
		b.Append(time.Now(), Origin{Stream: Stdout}, false, [][]byte{[]byte(fmt.Sprint(n))})
	}
	<-f.lines
	<-f.lines
	b.Append(time.Now(), Origin{Stream: Stdout}, false, [][]byte{[]byte("5")})
	if l := <-f.lines; l.Text != "5" || l.Lost != 3 {
		t.Fatalf("%+v", l)
	}
}
