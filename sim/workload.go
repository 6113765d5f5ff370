package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// workPlan is what the clients do: every submission of the storm, in advance.
type workPlan struct{ submissions []submission }

// submission hands updates of clients to one replica.
type submission struct {
	at      clock.Instant
	to      group.ID
	updates []wire.Update
}

// client makes one client's updates.
type client struct {
	id   wire.ClientID
	next uint64
	gaps bool
}

// clientID is the name of the number-th client. Where clients sign with real keys it is the seed of the key, see signUpdates.
func clientID(number int) wire.ClientID {
	var id wire.ClientID
	binary.LittleEndian.PutUint64(id[:], uint64(number)+1)
	copy(id[8:], "client of a simulated world")
	return id
}

// drawWork draws the clients and what they submit. Clients are not trusted: some leave gaps, some submit one update at
// several replicas or again later, some use one sequence number for two updates.
func drawWork(rng *rand.Rand, p *plan) workPlan {
	clients := make([]client, choose(rng, 1, 2, 4, 8, 20))
	for i := range clients {
		clients[i] = client{id: clientID(i), gaps: rng.IntN(4) == 0, next: firstSeq(rng)}
	}
	total := choose(rng, 3, 10, 30, 100, 100, 200, 400, 1000)
	if p.group.N() > 9 {
		total = min(total, 60) // a large group has work enough with few updates
	}
	twice, twoFaced, batch := 0.0, 0.0, choose(rng, 1, 1, 1, 4, 20)
	if rng.IntN(2) == 0 {
		twice = choose(rng, 0.05, 0.5)
	}
	if rng.IntN(5) == 0 {
		twoFaced = choose(rng, 0.05, 0.5)
	}
	targets := p.group.All()
	if rng.IntN(4) == 0 {
		targets = group.SetOf(group.FromIndex(rng.IntN(p.group.N())))
	}
	var w workPlan
	for made := 0; made < total; {
		s := submission{at: moment(rng, p.stormEnd), to: pick(rng, targets)}
		for range 1 + rng.IntN(batch) {
			u := clients[rng.IntN(len(clients))].update(rng, p.limits.UpdateBytes)
			s.updates = append(s.updates, u)
			made++
			if rng.Float64() >= twice {
				continue
			}
			again := u
			if rng.Float64() < twoFaced {
				again.Payload = payload(rng, p.limits.UpdateBytes)
			}
			at := min(p.stormEnd, s.at.Add(span(rng, 0, choose(rng, time.Microsecond, 10*time.Millisecond, time.Second))))
			w.submissions = append(w.submissions, submission{at, pick(rng, p.group.All()), []wire.Update{again}})
		}
		w.submissions = append(w.submissions, s)
	}
	w.askTransfers(p)
	return w
}

// askTransfers lets the applications of some replicas ask for transfer points in every fourth world: those are submissions without
// updates.
func (w *workPlan) askTransfers(p *plan) {
	rng := rand.New(rand.NewPCG(uint64(len(w.submissions)), uint64(p.stormEnd))) // of its own: worlds stay what they were
	if rng.IntN(4) != 0 {
		return
	}
	for range 1 + rng.IntN(8) {
		w.submissions = append(w.submissions, submission{at: moment(rng, p.stormEnd), to: pick(rng, p.group.All())})
	}
}

// pick draws a member of a set that is not empty.
func pick(rng *rand.Rand, from group.Set) group.ID {
	skip := rng.IntN(from.Len())
	for id := range from.All() {
		if skip == 0 {
			return id
		}
		skip--
	}
	return 0
}

// firstSeq is where a client's sequence numbers start: at its clock in microseconds, as they should, or wherever it likes.
func firstSeq(rng *rand.Rand) uint64 {
	const clock = uint64(calendar / 1000)
	switch rng.IntN(16) {
	case 0:
		return 0
	case 1:
		return clock + ahead - uint64(rng.IntN(3000))
	case 2:
		return 1 << 62
	}
	return clock - rng.Uint64N(1_000_000)
}

func (c *client) update(rng *rand.Rand, most int) wire.Update {
	c.next++
	seq := c.next
	if c.gaps {
		switch rng.IntN(8) {
		case 0:
			c.next += uint64(rng.IntN(5))
		case 1:
			c.next += uint64(rng.IntN(3000))
		case 2:
			seq = c.next - min(c.next-1, rng.Uint64N(100))
		}
	}
	return wire.Update{Client: c.id, Seq: seq, Payload: payload(rng, most)}
}

// payload draws the content of an update: mostly small, sometimes empty, the largest that is allowed or one byte more.
func payload(rng *rand.Rand, most int) []byte {
	size := 8 + rng.IntN(40)
	switch rng.IntN(40) {
	case 0:
		size = 0
	case 1:
		size = most
	case 2:
		size = most + 1
	case 3, 4, 5:
		size = rng.IntN(most)
	}
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// fill replaces the payloads by those of an application, if it has its own.
func (w *workPlan) fill(make func(random uint64) []byte, most int) {
	if make == nil {
		return
	}
	for i := range w.submissions {
		for j := range w.submissions[i].updates {
			u := &w.submissions[i].updates[j]
			p := make(mix(u.Payload))
			u.Payload = p[:min(len(p), most)]
		}
	}
}
