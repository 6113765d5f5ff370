package mesh

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/internal/seal"
)

// exporterLabel names what is derived from TLS connections.
const exporterLabel = "EXPORTER-prime-datagrams"

// Times of sessions.
const (
	handover   = 10 * time.Second // how long old keys are good once newer ones have proven to work
	quarantine = time.Minute      // how long datagrams of a peer that was caught lying are not used
)

// mostSessions is how many a lane has at once: the one in use, one before, and one that has not proven to work yet.
const mostSessions = 3

// session is a lane's traffic over datagrams with the keys of one TLS connection. It outlives the connection: whoever makes
// connections fail makes peers shake hands again, and delays nothing. All of it is guarded by the peer's mu.
type session struct {
	lane   *lane
	conn   *link // whose keys they are
	link   *datagram.Link
	sealer *seal.Sealer
	opener *seal.Opener
	to     netip.AddrPort
	until  clock.Instant // when it ends
	muted  clock.Instant // until when it is not used, because the peer lied
	yields bool          // it carries frames that yield
	tail   *session      // BOUNDED only: carries them in a sequence of their own, so that others can overtake them on the way
}

// header is what packets for a session say.
func (s *session) header() seal.Header {
	return seal.Header{Lane: seal.Lane{Class: s.lane.class, Yields: s.yields}, Session: s.opener.Session()}
}

// works reports whether frames may go over a session.
func (s *session) works(now clock.Instant) bool { return s.link.Up() && now >= s.muted }

// all are the sessions of a lane, those for frames that yield after the others. The caller holds mu.
func (l *lane) all(yield func(*session) bool) {
	for _, s := range l.sessions {
		if !yield(s) {
			return
		}
	}
	for _, s := range l.sessions {
		if s.tail != nil && !yield(s.tail) {
			return
		}
	}
}

// newSession derives the keys of a connection.
func (l *lane) newSession(now clock.Instant, conn *link) (*session, error) {
	m, p := l.peer.mesh, l.peer
	state := conn.conn.ConnectionState()
	low, high := min(m.o.Self, p.ID), max(m.o.Self, p.ID)
	context := append(append([]byte{byte(low), byte(high)}, m.o.ClusterID[:]...), m.o.ConfigDigest[:]...)
	exported, err := state.ExportKeyingMaterial(exporterLabel, binary.LittleEndian.AppendUint32(context, m.o.Epoch), seal.SecretSize)
	if err != nil {
		return nil, err
	}
	to, err := p.datagramAddress(conn)
	if err != nil {
		return nil, err
	}
	s := &session{lane: l, conn: conn, to: to, until: clock.Never}
	s.prepare(now, exported)
	if l.class == transport.Bounded {
		s.tail = &session{lane: l, conn: conn, to: to, until: clock.Never, yields: true}
		s.tail.prepare(now, exported)
	}
	return s, nil
}

// prepare makes a session's keys and its link.
func (s *session) prepare(now clock.Instant, exported []byte) {
	p := s.lane.peer
	s.sealer, s.opener = seal.New(now, exported, seal.Lane{Class: s.lane.class, Yields: s.yields}, p.mesh.o.Self, p.ID)
	o := datagram.Options{Class: s.lane.class, Shared: p.shared}
	// By default what package datagram says. Whoever bears a silent peer for longer has a slower network, or machine.
	o.Life = time.Duration(float64(datagram.Life(o.Class)) * float64(p.mesh.o.WriteTimeout) / float64(defaultWriteTimeout))
	_, _ = rand.Read(o.Secret[:]) // never fails
	s.link = datagram.New(now, o)
}

// datagramAddress is where the peer at the other end of a connection gets datagrams: at the same port as connections.
func (p *peer) datagramAddress(conn *link) (netip.AddrPort, error) {
	remote := addrPort(conn.raw.RemoteAddr())
	if !remote.IsValid() {
		return netip.AddrPort{}, fmt.Errorf("%s is not an IP address", conn.raw.RemoteAddr())
	}
	if p.dials() {
		return remote, nil
	}
	port, err := portOf(p.Address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(remote.Addr(), port), nil
}

// begin makes a session of a new connection. The lane goes on with an older one until this one has proven to work.
func (l *lane) begin(conn *link) {
	m, p := l.peer.mesh, l.peer
	if len(m.sockets.all) == 0 || l.class == transport.Bulk {
		return
	}
	now := m.clock.Now()
	s, err := l.newSession(now, conn)
	if err == nil && !m.sessions.add(s) {
		err = errors.New("its session number is taken")
	}
	if err == nil && s.tail != nil && !m.sessions.add(s.tail) {
		s.tail = nil // does without
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		l.whyTLS = clip(err.Error())
		return
	}
	l.sessions = append([]*session{s}, l.sessions...)
	for len(l.sessions) > mostSessions {
		l.end(now, len(l.sessions)-1)
	}
	l.rouse()
}

// end drops a session. What it is not known to have delivered goes another way, if it is not too late for that: the peer may
// have restarted and know nothing of it. The caller holds mu.
func (l *lane) end(now clock.Instant, i int) {
	s := l.sessions[i]
	l.sessions = append(l.sessions[:i:i], l.sessions[i+1:]...)
	for ; s != nil; s = s.tail {
		l.peer.mesh.sessions.remove(s)
		l.retired = add(l.retired, s.link.Counters())
		l.resend(now, s)
		l.peer.dropped.Add(s.link.Undelivered()) // what is left is too old
	}
}

// active is the session over which frames go now: the newest that works; nil if none does. The caller holds mu.
func (l *lane) active(now clock.Instant) *session {
	if l.peer.mesh.ctx.Err() != nil {
		return nil
	}
	for _, s := range l.sessions {
		if s.works(now) {
			return s
		}
	}
	return nil
}

// tidy ends sessions that have had their time, and takes note of those that have stopped or begun to work. The caller holds mu.
func (l *lane) tidy(now clock.Instant) {
	for i, s := range l.sessions {
		if s.tail != nil && s.tail.link.Changed() && !s.tail.link.Up() {
			l.resend(now, s.tail)
		}
		if !s.link.Changed() {
			continue
		}
		if !s.link.Up() {
			if s.conn == l.link { // else the peer itself is gone, it seems
				l.peer.mesh.log.say(slog.LevelWarn, l.peer.ID, "no answer to datagrams: frames go over TLS",
					slog.String("class", l.class.String()), slog.String("address", s.to.String()))
				l.resend(now, s)
			}
			continue
		}
		for _, older := range l.sessions[i+1:] {
			older.until = min(older.until, now.Add(handover))
		}
	}
	for i := len(l.sessions) - 1; i > 0; i-- {
		s := l.sessions[i]
		if now >= s.until || !s.link.Up() && s.conn != l.link && l.sessions[0].link.Up() {
			l.end(now, i)
		}
	}
}

// receive opens a datagram and takes what is in it.
func (s *session) receive(packet, body []byte) error {
	l, p := s.lane, s.lane.peer
	now := p.mesh.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now < s.muted {
		return nil
	}
	body, err := s.opener.Open(now, body[:0], packet)
	if err != nil {
		return err
	}
	l.recvBytes.Add(uint64(len(packet)))
	err = s.link.Receive(now, body, l.arrivals.room(), l.arrive)
	if err != nil {
		s.muted = now.Add(quarantine)
		s.link.Distrust(s.muted)
		p.refused.Add(1)
		l.whyTLS = clip(err.Error())
		p.mesh.warn(p.ID, "refused a datagram that only a faulty replica sends: datagrams of it are not used for a while",
			slog.String("class", l.class.String()), slog.String("cause", err.Error()))
	}
	// The pump sleeps until armed; something may be due earlier now, or there may be room for what could not be sent.
	if l.waiting && (s.link.News() || s.link.Deadline(now) < l.armed || l.starved && s.link.Hungry()) {
		l.waiting = false
		l.rouse()
	}
	return nil
}

// add sums counters.
func add(a, b datagram.Counters) datagram.Counters {
	a.Lost += b.Lost
	a.Repaired += b.Repaired
	a.Copies += b.Copies
	a.Expired += b.Expired
	return a
}

// counters are those of all sessions so far. The caller holds mu.
func (l *lane) counters() datagram.Counters {
	sum := l.retired
	for s := range l.all {
		sum = add(sum, s.link.Counters())
	}
	return sum
}

// connected reports whether frames get to the peer, by whatever way. The caller holds mu.
func (l *lane) connected(now clock.Instant) bool { return l.link != nil || l.active(now) != nil }

// describe says how frames of a peer go. The caller holds mu.
func (p *peer) describe(now clock.Instant, s *transport.Peer) {
	s.Datagrams = true
	for _, c := range datagramClasses {
		l := p.lane(c)
		sum := l.counters()
		s.Lost += sum.Lost
		s.Repaired += sum.Repaired
		s.Doubled += sum.Copies
		s.Expired += sum.Expired
		active := l.active(now)
		if active != nil && c == transport.Timely {
			s.RoundTrip = float64(active.link.RTT().Microseconds()) / 1000
		}
		if active != nil {
			continue
		}
		s.Datagrams = false
		if s.WhyTLS == "" {
			s.WhyTLS = l.explainTLS(now)
		}
	}
	s.Dropped += s.Expired
}

// explainTLS says why frames do not go over datagrams. The caller holds mu.
func (l *lane) explainTLS(now clock.Instant) string {
	m := l.peer.mesh
	switch {
	case !m.Datagrams():
		return `network.datagrams is "off"`
	case m.noUDP != nil:
		return clip(m.noUDP.Error())
	case len(l.sessions) == 0 && l.whyTLS != "":
		return l.whyTLS
	case len(l.sessions) == 0:
		return "no connection yet to take keys from"
	case now < l.sessions[0].muted:
		return l.whyTLS
	}
	return fmt.Sprintf("no answer to datagrams to %s (UDP)", l.sessions[0].to)
}
