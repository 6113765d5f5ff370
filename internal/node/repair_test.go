package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// hider keeps the requests of its own clients from r4.
type hider struct{ core.Machine }

func (h *hider) Step(now clock.Instant, in core.Input, out *effect.Output) {
	from := len(out.Sends)
	h.Machine.Step(now, in, out)
	for i := range out.Sends[from:] {
		s := &out.Sends[from+i]
		_, fresh := s.Msg.(*wire.PreorderRequest)
		if fresh || s.Signed != nil && s.Signed.Kind == wire.KindPreorderRequest {
			s.To = s.To.Without(4)
		}
	}
}

// TestHiddenRequestsComeInParts: with real signatures, jobs on goroutines and messages as bytes. Nobody asks for anything: that would
// take a minute.
func TestHiddenRequestsComeInParts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, func(_ *config.Cluster, n *config.Node) { n.Timing.Fetch = time.Minute })
	c.open(2, echo, Options{Check: true, Wrap: func(_ Seat, m core.Machine) core.Machine { return &hider{m} }})
	c.openAll()
	c.runAll(300, 2, 3)
	c.agree(1, 2, 3, 4)
	await(t, func() string { // the last part may come after the record
		if r := c.nodes[3].Status().Repair; r.Reconciled == 0 || r.Received < 2*r.Reconciled {
			return fmt.Sprintf("r4 got %+v", r)
		}
		return ""
	})
	if r := c.nodes[3].Status().Repair; r.Spoiled > 0 {
		t.Errorf("parts of correct replicas gave nothing: %+v", r)
	}
	sent := uint64(0)
	for _, id := range []int{1, 3} {
		sent += c.nodes[id-1].Status().Repair.SentParts
	}
	if sent == 0 {
		t.Error("r1 and r3 count no parts")
	}
}
