package preorder

import (
	"slices"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// Submit queues updates of own clients to be introduced, and refuses those that this replica has no room for.
func (s *State) Submit(updates []wire.Update, out *effect.Output) {
	for _, u := range updates {
		switch {
		case len(u.Payload) > s.cfg.UpdateBytes:
			out.Refused = append(out.Refused, effect.Refusal{Client: u.Client, Seq: u.Seq, Why: effect.Oversized})
		case s.pendingBytes+cost(u) > s.cfg.PendingBytes:
			out.Refused = append(out.Refused, effect.Refusal{Client: u.Client, Seq: u.Seq, Why: effect.Overloaded})
		default:
			s.pending = append(s.pending, u)
			s.pendingBytes += cost(u)
		}
	}
}

// First queues a transfer point before all that wait, whatever room there is. There is one at most: a second one adds nothing.
func (s *State) First(u wire.Update) {
	if len(s.pending) > 0 && s.pending[0].TransferPoint() {
		return
	}
	s.pending = slices.Insert(s.pending, 0, u)
	s.pendingBytes += cost(u)
}

// Beat introduces a request of no updates, so that something is ordered. It does nothing if something is on its way or waits already.
func (s *State) Beat(now clock.Instant, out *effect.Output) {
	if len(s.pending) == 0 && s.sent == s.lanes[s.cfg.Self.Index()].executed {
		s.send(now, &wire.PreorderRequest{Seq: s.sent + 1}, out)
	}
}

// UpdateCost is what an update counts against budgets besides its payload: an empty one is not free.
const UpdateCost = 128

// cost is what an update counts. Only a transfer point is free, of which one waits at most.
func cost(u wire.Update) int {
	if u.TransferPoint() {
		return 0
	}
	return len(u.Payload) + UpdateCost
}

// roomToIntroduce reports whether there is something to introduce and the in-flight window is open.
func (s *State) roomToIntroduce() bool {
	return len(s.pending) > 0 && s.sent-s.lanes[s.cfg.Self.Index()].executed < uint64(s.cfg.InFlight)
}

// Eager is how many own requests may be on their way before one that is not full waits for one of them to be executed. When the
// group takes longer because it has much to do, requests become larger and fewer, and with them acknowledgements. Until then
// requests have at most Config.EagerBytes: of one large request over a slow link, the last of n-1 copies leaves long after the first,
// and is missed; several small ones reach everybody while the next is on its way.
const Eager = 16

// crowded reports whether a request that is not full has to wait until one of those on their way is executed.
func (s *State) crowded() bool { return s.sent-s.lanes[s.cfg.Self.Index()].executed >= Eager }

// introduce cuts requests from the pending updates while the window is open: one at once, then as the pacer or a full request
// allows.
func (s *State) introduce(now clock.Instant, out *effect.Output) {
	for s.roomToIntroduce() {
		crowded := s.crowded()
		count, bytes := s.cut(crowded)
		full := count == s.cfg.RequestUpdates || count < len(s.pending)
		if !full && (crowded || !s.request.Due(now)) {
			return
		}
		m := &wire.PreorderRequest{Seq: s.sent + 1, Updates: append([]wire.Update(nil), s.pending[:count]...)}
		clear(s.pending[:count])
		s.pending = s.pending[count:]
		if len(s.pending) == 0 {
			s.pending = nil
		}
		s.pendingBytes -= bytes
		s.send(now, m, out)
	}
}

// send sends the next own request.
func (s *State) send(now clock.Instant, m *wire.PreorderRequest, out *effect.Output) {
	s.sent = m.Seq
	s.request.Done(now)
	out.Sends = append(out.Sends, effect.Send{To: s.cfg.Group.All(), Class: wire.Bounded, Msg: m})
	out.Emit(trace.Event{Kind: trace.RequestSent, Origin: s.cfg.Self, Seq: m.Seq})
}

// cut is how many of the pending updates fit one request, at least one, and what they cost.
func (s *State) cut(large bool) (count, bytes int) {
	payload, most := 0, s.cfg.RequestBytes
	if !large {
		most = s.cfg.EagerBytes
	}
	for _, u := range s.pending {
		if count == s.cfg.RequestUpdates || (count > 0 && payload+len(u.Payload) > most) {
			break
		}
		count++
		payload += len(u.Payload)
		bytes += cost(u)
	}
	return count, bytes
}

// OnRequest handles a PO-REQUEST: the first for its number is kept, and acknowledged by a later Advance.
func (s *State) OnRequest(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m, i := env.Msg.(*wire.PreorderRequest), env.Sender.Index()
	l := &s.lanes[i]
	switch {
	case m.Seq <= l.slots.Base():
		out.Known = true
		drop(out, env.Sender, "request already collected")
		return
	case m.Seq > s.horizon(l):
		drop(out, env.Sender, "request beyond the window")
		return
	}
	at := s.touch(l, m.Seq, now)
	switch {
	case at.request == nil:
		if at.bound && at.digest != env.Digest {
			drop(out, env.Sender, "request is not the one that a quorum acknowledged")
			return
		}
		at.request = env
	case at.request.Digest == env.Digest && !at.proven():
		at.request = env // from now on it can be passed on
		return
	case at.request.Digest == env.Digest:
		out.Known = true
		return
	case !at.proven():
		drop(out, env.Sender, "request is not the one that was executed")
		return
	default:
		out.Evidence = append(out.Evidence, wire.Evidence{First: at.request, Second: env})
		if at.bound && at.digest == env.Digest {
			at.request = env
			out.Emit(trace.Event{Kind: trace.Healed, Origin: env.Sender, Seq: m.Seq})
		}
	}
	s.rise(i, out)
}

// rise moves the held and preordered marks of a lane as far as they go.
func (s *State) rise(i int, out *effect.Output) {
	l := &s.lanes[i]
	for at := l.slots.At(l.held + 1); at != nil && at.request != nil; at = l.slots.At(l.held + 1) {
		l.held++
	}
	for l.preordered < l.held {
		at := l.slots.At(l.preordered + 1)
		if !at.bound || at.request.Digest != at.digest {
			return
		}
		l.preordered++
		out.Emit(trace.Event{Kind: trace.Preordered, Origin: group.FromIndex(i), Seq: l.preordered})
	}
}
