package sim

import (
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/transport/emulate/wan"
)

// links are the emulated links of a world, instead of latencies that are drawn: what a message takes depends on its bytes and
// on what else its sender sends. Messages go in datagrams, as between real replicas (datagrams.go). What the storm does to messages
// happens before they come to a link.
type links struct {
	world *world
	ports []*wan.Port[parcel] // by sender
	armed []clock.Instant     // when the sender's next transit event comes
	posts []post              // by sender
	heard group.Set           // replicas that have been given a datagram since they last said anything
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
		l.posts = append(l.posts, newPost(i, n))
	}
	for i := range n {
		l.arm(group.FromIndex(i))
	}
	return l, nil
}

// emulate makes the plan one of a network of this profile: its latencies are the links', and far apart replicas get the timers of
// a wide-area network, those that leaders are judged by included.
func (p *plan) emulate(profile *wan.Profile) {
	longest := profile.Slowest(p.group.N())
	p.net.latencyMin, p.net.latencyMax, p.net.timelyMax = 0, longest+congestion, longest+congestion
	p.net.hiccupMax += p.net.latencyMax
	node := config.WAN()
	if longest < time.Millisecond {
		node = config.LAN()
	}
	p.limits.EagerBytes = node.Queues.RequestBytes
	t, s := node.Timing, node.Suspect
	for i := range p.replicas {
		r := &p.replicas[i]
		stall := r.timing.Suspect.MaxStall
		r.timing = core.Timing{
			Request: t.Request, Ack: t.Ack, Summary: t.Summary, Matrix: t.Matrix, Propose: t.Propose, Retransmit: t.Retransmit, Fetch: t.Fetch,
		}
		if p.judged {
			r.timing.Suspect = core.Suspect{KLat: int(s.KLat * 1000), Ping: s.Ping, Check: s.Check, Window: s.Window, MaxStall: stall}
		}
	}
	if p.judged {
		floor, delta := p.honest()
		for i := range p.replicas {
			p.replicas[i].timing.Suspect.Floor, p.replicas[i].timing.Suspect.Delta = floor, delta
		}
	}
}

// instant is the plan of a network that delays nothing by itself, but has all the troubles of p.
func (p *netPlan) instant() *netPlan {
	same := *p
	same.latencyMin, same.latencyMax, same.timelyMax = 0, 0, 0
	return &same
}
