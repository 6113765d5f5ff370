package node

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/record"
)

// gate is before the egress of a durable replica: a promise passes once all that it follows from is durable, unsigned until then.
// So whatever one commit lets pass is signed together, which costs one signature, and the disk works on the next commit
// meanwhile. What promises nothing passes at once. A nil gate is open.
type gate struct {
	journal *journal
	egress  *egress
	held    *mailbox[promise]
}

// promise is a message that passes when the inputs up to mark are durable.
type promise struct {
	mark uint64
	send effect.Send
}

func newGate(j *journal, e *egress) *gate {
	if j == nil {
		return nil
	}
	return &gate{journal: j, egress: e, held: newMailbox[promise]()}
}

// binds reports whether a message has to wait here.
func (g *gate) binds(s *effect.Send) bool { return g != nil && record.Binding(s.Msg.Kind()) }

// put takes promises over, which follow from what the journal has been given so far.
func (g *gate) put(sends []effect.Send) {
	if len(sends) == 0 {
		return
	}
	g.egress.expect(len(sends))
	mark := g.journal.mark()
	all := make([]promise, len(sends))
	for i := range sends {
		all[i] = promise{mark, sends[i]}
	}
	g.held.put(len(all), all...)
}

// run lets promises pass, in order, until stop or until the disk fails for good.
func (g *gate) run(stop <-chan struct{}) {
	var waiting []promise
	var lots lots
	for {
		waiting, _ = g.held.take(waiting)
		for at := 0; at < len(waiting); {
			if !g.journal.wait(waiting[at].mark, stop) {
				return
			}
			durable := g.journal.reached()
			for ; at < len(waiting) && waiting[at].mark <= durable; at++ {
				lots.add(&waiting[at].send)
			}
			g.egress.put(&lots)
			lots.clear()
		}
		if len(waiting) > 0 {
			continue
		}
		select {
		case <-g.held.ready:
		case <-stop:
			return
		}
	}
}
