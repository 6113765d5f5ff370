package suspect

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// sendPing starts the measurement of the round trips to all others.
func (s *State) sendPing(now clock.Instant, out *effect.Output) {
	s.pingAt = now.Add(s.cfg.Ping)
	s.pinged++
	s.pings[s.pinged%uint64(len(s.pings))] = ping{seq: s.pinged, at: now}
	if s.normal && s.leader() != s.cfg.Self {
		s.unanswered = min(s.unanswered, now)
	}
	to := s.cfg.Group.Others(s.cfg.Self)
	out.Sends = append(out.Sends, effect.Send{To: to, Class: wire.Timely, Msg: &wire.Ping{View: s.view, Seq: s.pinged}})
}

// mostPongs is how many pings of one peer are answered in a Ping interval: a correct one pings once in its own, and once more when
// a view begins.
const mostPongs = 16

// OnPing answers at once, within limits: an answer has to be signed.
func (s *State) OnPing(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.Ping)
	if m.View != s.view || env.Sender == s.cfg.Self {
		return
	}
	a := &s.answers[env.Sender.Index()]
	if now >= a.until {
		*a = answers{until: now.Add(s.cfg.Ping)}
	}
	if a.count++; a.count > mostPongs {
		return
	}
	pong := &wire.Pong{View: s.view, Dest: env.Sender, Seq: m.Seq}
	out.Sends = append(out.Sends, effect.Send{To: group.SetOf(env.Sender), Class: wire.Timely, Msg: pong})
}

// OnPong ends the measurement of a round trip and tells the other end.
func (s *State) OnPong(now clock.Instant, env *wire.Envelope, out *effect.Output) {
	m := env.Msg.(*wire.Pong)
	p := s.pings[m.Seq%uint64(len(s.pings))]
	if m.View != s.view || m.Dest != s.cfg.Self || env.Sender == s.cfg.Self || p.seq != m.Seq || p.seq == 0 {
		return
	}
	trip := max(0, now.Sub(p.at))
	if s.normal && env.Sender == s.leader() && m.Seq > s.answered { // the first answer to each, and none out of order
		s.measure(trip)
		s.answered, s.unanswered = m.Seq, clock.Never
		if m.Seq < s.pinged {
			s.unanswered = s.pings[(m.Seq+1)%uint64(len(s.pings))].at
		}
	}
	measured := &wire.RoundTrip{View: s.view, Dest: env.Sender, Nanos: uint64(trip)}
	out.Sends = append(out.Sends, effect.Send{To: group.SetOf(env.Sender), Class: wire.Bounded, Msg: measured})
}

// OnRoundTrip notes what another replica measured to this one. Only the lowest counts.
func (s *State) OnRoundTrip(env *wire.Envelope) {
	m := env.Msg.(*wire.RoundTrip)
	if m.View == s.view && m.Dest == s.cfg.Self && env.Sender != s.cfg.Self {
		i := env.Sender.Index()
		s.trips[i] = min(s.trips[i], duration(m.Nanos))
	}
}

// OnBound notes what another replica would achieve as leader. Only its lowest word counts.
func (s *State) OnBound(env *wire.Envelope) {
	if m := env.Msg.(*wire.Bound); m.View == s.view {
		i := env.Sender.Index()
		s.bounds[i] = min(s.bounds[i], duration(m.Nanos))
	}
}

// OnTurnaround notes what another replica says of the leader. Its newest word counts, in whatever order they come: otherwise
// whoever repeats an old one could hide or revive what it said.
func (s *State) OnTurnaround(env *wire.Envelope) {
	i := env.Sender.Index()
	if m := env.Msg.(*wire.Turnaround); m.View == s.view && m.Number > s.numbers[i] {
		s.reported[i], s.numbers[i] = duration(m.Nanos), m.Number
	}
}

// duration is a peer's number of nanoseconds, whatever it is.
func duration(nanos uint64) time.Duration { return time.Duration(min(nanos, uint64(unknown-1))) }
