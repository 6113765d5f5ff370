package core

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// How a replica finds out that it is behind, and is helped on. Everybody says often where it is. What is not far ahead comes as
// certificates and requests, which prove themselves; what is far ahead is caught up (package catchup).

// statusEvery is how often a replica says where it is, however seldom it repeats everything else: lag is noticed in less than a second.
const statusEvery = 500 * time.Millisecond

// urgentWaits is how often help is asked for in vain, once in two Fetch intervals, until the next ordinals are caught up however few
// they are: nobody may be left who can prove them.
const urgentWaits = 4

// known is the highest ordinal that some correct replica is ready to order, or has executed.
func (r *Replica) known() uint64 {
	return max(r.order.Known(), r.change.Ahead(), r.catchup.Target())
}

// watchProgress asks for help early when others are known to be ahead and nothing has been executed for a while; at once when
// the state of another replica in a view change is not complete for that, or when others have installed a later view.
func (r *Replica) watchProgress(now clock.Instant, out *effect.Output) {
	if later := r.catchup.Installed() > r.order.View(); later != r.viewBehind {
		if r.viewBehind = later; later {
			r.sendStatus(now, out)
		}
	}
	if incomplete := r.change.Incomplete(); incomplete != r.incomplete {
		more := incomplete > r.incomplete
		if r.incomplete = incomplete; more {
			r.await(now)
			r.sendStatus(now, out)
			return
		}
	}
	switch executed := r.executed(); {
	case r.known() <= executed:
		r.behindAt, r.waits = clock.Never, 0
	case r.behindAt == clock.Never || r.behind != executed:
		r.waits = 0
		r.await(now)
	case now >= r.behindAt:
		r.await(now)
		r.waits = min(r.waits+1, urgentWaits)
		r.sendStatus(now, out)
	}
}

// await gives the next ordinal two Fetch intervals to come.
func (r *Replica) await(now clock.Instant) {
	r.behindAt, r.behind = now.Add(2*r.cfg.Timing.Fetch), r.executed()
}

// catchUp lets catching up go on.
func (r *Replica) catchUp(now clock.Instant, out *effect.Output) {
	active := r.catchup.Active()
	r.catchup.Advance(now, r.executed(), r.waits == urgentWaits, out)
	r.catchup.Serve(now, told{r}, out)
	if active && !r.catchup.Active() { // what is left is little: certificates prove it
		r.sendStatus(now, out)
	}
}

// sendStatus tells the others where this replica is, so that they can help it on. While it is being caught up it says that it needs no
// help: it gets what it lacks anyway; but not if the others could not agree on what it lacks.
func (r *Replica) sendStatus(now clock.Instant, out *effect.Output) {
	r.statusAt = now.Add(statusEvery)
	r.tellStatus(r.cfg.Group.Others(r.cfg.Self), out)
}

// tellStatus tells some where this replica is.
func (r *Replica) tellStatus(to group.Set, out *effect.Output) {
	first, _ := told{r}.Held()
	m := &wire.Status{View: r.order.View(), Installed: r.order.View(), Executed: r.executed(), Oldest: first,
		Stable: r.checkpoints.Stable().Ordinal, Help: !r.catchup.Suffices()}
	if !r.order.Installed() {
		m.Installed--
	}
	m.Preorders, m.Held = r.preorder.Vectors()
	out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Bounded, Msg: m})
}

// onStatus notes where a peer is, and helps it if it is behind. One that is far behind is told where this replica is, and sent
// certificates only if it does not get on with that. A peer's statuses are answered once a Fetch interval at most, and one
// more for each change of views; about f+k+1 of its peers answer each one, in turn, so that it is not helped n times over. In a view
// change all do, for the others may wait for it.
func (r *Replica) onStatus(now clock.Instant, env *wire.Envelope, m *wire.Status, out *effect.Output) {
	i := env.Sender.Index()
	if env.Sender == r.cfg.Self {
		return
	}
	out.Known = !r.catchup.OnStatus(env.Sender, m) // whether it is answered matters to nobody but its sender
	changing := m.Installed < m.View && m.View == r.order.View() && m.View > r.helped[i]
	if now < r.helpAt[i] && !changing {
		return
	}
	r.helpAt[i] = now.Add(r.cfg.Timing.Fetch)
	r.rounds[i]++
	stuck := r.asked[i] == m.Executed+1
	if r.asked[i] = 0; m.Help {
		r.asked[i] = m.Executed + 1
	}
	far := m.Executed+uint64(ViewWindow(r.cfg.Limits)/4) < r.executed()
	if m.Help && far {
		r.tellStatus(group.SetOf(env.Sender), out) // it catches up when it knows how far others are
	}
	if changing {
		r.helped[i] = m.View
	} else if turns := r.cfg.Group.N() / r.cfg.Group.Rank(); (r.cfg.Self.Index()+r.rounds[i])%turns != 0 {
		return
	}
	r.helpView(env.Sender, m, out)
	if collected := r.order.Collected(); m.Executed < collected || m.Executed+uint64(r.cfg.Limits.OrdinalWindow) < r.executed() {
		r.checkpoints.Lift(now, env.Sender, m, collected, out) // perhaps nobody can tell it what it lacks
	}
	if !m.Help {
		return
	}
	if far && !stuck {
		return
	}
	r.preorder.Help(env.Sender, m.Preorders, out)
	if m.Executed < r.executed() || m.Executed < r.order.Known() {
		r.order.Help(env.Sender, m.Executed, out)
	}
}

// overhear notes from a vote for an ordinal that is too far ahead how far its sender is at least.
func (r *Replica) overhear(env *wire.Envelope) {
	ordinal := uint64(0)
	switch m := env.Msg.(type) {
	case *wire.Prepare:
		ordinal = m.Ordinal
	case *wire.Commit:
		ordinal = m.Ordinal
	}
	ahead := uint64(ViewWindow(r.cfg.Limits))
	if ordinal > r.executed()+ahead && env.Sender != r.cfg.Self {
		r.catchup.OnVote(env.Sender, ordinal, ahead)
	}
}

// executed is what is kept of one executed ordinal beside what ordering and preordering keep.
type executed struct {
	bytes            int         // what it takes, about
	proof            int         // of these, what proves it; 0 once that is forgotten
	time             int64       // ordered time
	link             wire.Digest // effect.Link
	before, eligible wire.Vector // execution vector before and after it
}

// told is what this replica can tell of executed ordinals.
type told struct{ *Replica }

// Held implements catchup.History.
func (t told) Held() (first, last uint64) { return t.held.Base() + 1, t.Replica.executed() }

// Tell implements catchup.History.
func (t told) Tell(to group.ID, out *effect.Output) { t.tellStatus(group.SetOf(to), out) }

// Link implements catchup.History.
func (t told) Link(ordinal uint64) wire.Digest {
	if at := t.held.At(ordinal); at != nil {
		return at.link
	}
	return t.gone
}

// Ordinal implements catchup.History.
func (t told) Ordinal(ordinal uint64) wire.SegmentOrdinal {
	at := t.held.At(ordinal)
	o := wire.SegmentOrdinal{Time: at.time, Eligible: at.eligible}
	for i := range o.Eligible {
		for seq := at.before[i].Seq + 1; seq <= o.Eligible[i].Seq; seq++ {
			request := t.preorder.Request(group.FromIndex(i), seq)
			o.Requests = append(o.Requests, wire.SegmentRequest{Digest: request.Digest, Request: wire.WithoutProof(request)})
		}
	}
	return o
}

// learned is the next ordinal from what others told, if it is here. Its requests have no proofs.
func (r *Replica) learned(out *effect.Output) *ordinal {
	told := r.catchup.Next(r.executed())
	if told == nil {
		return nil
	}
	o := &ordinal{time: told.Time, eligible: told.Eligible, learned: true}
	if !r.fits(told) { // only if more than f replicas vouched for it
		r.catchup.Misfits()
		out.Emit(trace.Event{Kind: trace.Dropped, Ordinal: r.executed() + 1, Reason: "f+1 replicas vouch for what cannot be"})
		return nil
	}
	for k := range told.Requests {
		o.requests = append(o.requests, told.Requests[k].Request)
	}
	return o
}

// fits reports whether the requests of an ordinal are those after what has been executed, up to what it makes eligible.
func (r *Replica) fits(o *wire.SegmentOrdinal) bool {
	if len(o.Eligible) != len(r.vector) || !o.Eligible.Covers(r.vector) || o.Time < r.time {
		return false
	}
	k := 0
	for i := range o.Eligible {
		for seq := r.vector[i].Seq + 1; seq <= o.Eligible[i].Seq; seq++ {
			if k == len(o.Requests) {
				return false
			}
			e := o.Requests[k].Request
			if e.Sender != group.FromIndex(i) || e.Incarnation != r.cfg.Incarnations[i] || e.Msg.(*wire.PreorderRequest).Seq != seq ||
				o.Eligible[i].Incarnation != e.Incarnation {
				return false
			}
			k++
		}
	}
	return k == len(o.Requests)
}
