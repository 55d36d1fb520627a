package bus

import (
	"testing"

	"github.com/dsat/dsat/bus/wire"
)

// stuckCarrier brings nothing away.
type stuckCarrier struct{}

func (stuckCarrier) flush(*peer)  {}
func (stuckCarrier) drop(*peer)   {}
func (stuckCarrier) finish(*peer) {}

// A peer that asks and never reads the answers would fill the daemon's memory.
func TestPeerThatDoesNotReadIsNoticed(t *testing.T) {
	for name, body := range map[string]int{"small": 0, "large": 60 << 10} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(stuckCarrier{}, make(framePool, 1))
			p.sess = &session{worker: worker{step: &step{cfg: limits{inHand: 32}}}}
			frames, bytes := 0, 0
			for !p.flush() {
				p.add(&wire.Header{Kind: wire.Pong}, make([]byte, body))
				frames++
				bytes += body
				if frames > unreadFrames+33 || bytes > unreadBytes+body {
					t.Fatalf("%d frames and %d bytes wait, and nobody minds", frames, bytes)
				}
			}
			if frames <= unreadFrames+32 && bytes < handBytes+wire.MaxBody {
				t.Errorf("%d frames and %d bytes are too much already: credit alone allows more", frames, bytes)
			}
			p.box.take(nil)
			p.add(&wire.Header{Kind: wire.Pong}, nil)
			if p.flush() {
				t.Error("it has read all, and is still blamed")
			}
		})
	}
}
