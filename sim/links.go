package sim

import (
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/transport/emulate/wan"
)

// links are the emulated links of a world, instead of latencies that are drawn: what a message takes depends on its bytes and
// on what else its sender sends. What the storm does to messages happens before they come to a link.
type links struct {
	world *world
	ports []*wan.Port[*event] // by sender
	armed []clock.Instant     // when the port's next transit event comes
}

// congestion is what a message may wait for bottlenecks, at most, in a world that is quiet: the demands of such a world are made
// of delays, and this is added to each.
const congestion = 150 * time.Millisecond

// newLinks makes the links of a profile.
func newLinks(w *world, p wan.Profile, seed uint64) (*links, error) {
	n := w.plan.group.N()
	l := &links{world: w, armed: make([]clock.Instant, n)}
	for i := range n {
		port, err := wan.NewPort(p, i+1, n, seed, 0, l.land)
		if err != nil {
			return nil, err
		}
		l.ports, l.armed[i] = append(l.ports, port), clock.Never
	}
	return l, nil
}

// emulate makes the plan one of a network of this profile: its latencies are the links', and far apart replicas get the timers of
// a wide-area network. Leaders are not judged in it: how long a view change may take over such links is not derived yet.
func (p *plan) emulate(profile *wan.Profile) {
	p.judged = false
	longest := profile.Slowest(p.group.N())
	p.net.latencyMin, p.net.latencyMax, p.net.timelyMax = 0, longest+congestion, longest+congestion
	p.net.hiccupMax += p.net.latencyMax
	t := config.WAN().Timing
	if longest < time.Millisecond {
		t = config.LAN().Timing
	}
	for i := range p.replicas {
		p.replicas[i].timing = core.Timing{
			Request: t.Request, Ack: t.Ack, Summary: t.Summary, Matrix: t.Matrix, Propose: t.Propose, Retransmit: t.Retransmit, Fetch: t.Fetch,
		}
	}
}

// instant is the plan of a network that delays nothing by itself, but has all the troubles of p.
func (p *netPlan) instant() *netPlan {
	same := *p
	same.latencyMin, same.latencyMax, same.timelyMax = 0, 0, 0
	return &same
}

// depart lets a message come to its link. Its class is in arg.
func (l *links) depart(e *event) {
	sent := *e
	offer := l.ports[e.from.Index()].Offer
	if e.env.Kind.Yields() {
		offer = l.ports[e.from.Index()].OfferLast
	}
	offer(l.world.now, int(e.node), wire.Class(e.arg), len(e.env.Raw), &sent)
	l.arm(e.from)
}

// transit does what is due at the links of a sender, unless it was done by an earlier event.
func (l *links) transit(e *event) {
	i := e.from.Index()
	if l.armed[i] != e.at {
		return
	}
	l.armed[i] = clock.Never
	l.ports[i].Advance(l.world.now)
	l.arm(e.from)
}

func (l *links) arm(from group.ID) {
	i := from.Index()
	if next := l.ports[i].Next(); next < l.armed[i] {
		l.armed[i] = next
		l.world.queue.push(event{at: next, kind: transit, from: from})
	}
}

// land schedules the arrival of a message that a link has delivered.
func (l *links) land(at clock.Instant, _ int, e *event) {
	at = at.Add(l.world.nodes[e.node.Index()].plan.verifyCost)
	l.world.queue.push(event{at: at, kind: arrive, node: e.node, from: e.from, env: e.env, departs: e.departs})
}
