package gateway

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// halfOpen is the connections that have not proved a key. When there are too many, one gives way: of those that have not sent
// a ClientHello, or if all have then of all, the oldest of the address that has most. So whoever opens thousands of
// connections and says nothing pushes out its own, and a client that begins its handshake is nearly always left to end it.
type halfOpen struct {
	mu     sync.Mutex
	limit  int
	closed bool
	conns  []*handshake // the oldest first
}

type handshake struct {
	conn  net.Conn
	from  netip.Prefix
	spoke atomic.Bool // sent a ClientHello
}

// add notes a connection and reports whether another had to give way for it.
func (p *halfOpen) add(conn net.Conn) (h *handshake, evicted bool) {
	h = &handshake{conn: conn, from: origin(conn.RemoteAddr())}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		conn.Close()
		return h, false
	}
	if len(p.conns) >= p.limit {
		i := p.victim()
		p.conns[i].conn.Close()
		p.conns = slices.Delete(p.conns, i, i+1)
		evicted = true
	}
	p.conns = append(p.conns, h)
	return h, evicted
}

// victim is the connection that gives way.
func (p *halfOpen) victim() int {
	silent := slices.ContainsFunc(p.conns, func(h *handshake) bool { return !h.spoke.Load() })
	count := map[netip.Prefix]int{}
	first := map[netip.Prefix]int{}
	victim, most := 0, 0
	for i, h := range p.conns {
		if silent && h.spoke.Load() {
			continue
		}
		if count[h.from]++; count[h.from] == 1 {
			first[h.from] = i
		}
		if n := count[h.from]; n > most || (n == most && first[h.from] < victim) {
			victim, most = first[h.from], n
		}
	}
	return victim
}

func (p *halfOpen) remove(h *handshake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.conns, h); i >= 0 {
		p.conns = slices.Delete(p.conns, i, i+1)
	}
}

func (p *halfOpen) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *halfOpen) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, h := range p.conns {
		h.conn.Close()
	}
}

// origin is what one machine can be held to have: its IPv4 address, or the /64 that a machine with IPv6 may use at will.
func origin(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}

// meter stands between a stranger and the handshake: it lets the stranger send only so many bytes, so that it cannot make the
// handshake hold more, and it lets only a few handshakes compute at once, so that a flood of them, each worth several
// signatures, does not keep the protocol from the processors. A handshake computes whenever it does not read. All is done by
// the one goroutine that reads the connection.
type meter struct {
	net.Conn
	h         *handshake
	left      int           // -1: as many as it likes
	compute   chan struct{} // as many tokens as may compute
	computing bool
}

// Read implements net.Conn.
func (m *meter) Read(b []byte) (int, error) {
	if m.left < 0 {
		return m.Conn.Read(b)
	}
	if m.left == 0 {
		return 0, errTalkative
	}
	m.rest()
	n, err := m.Conn.Read(b[:min(len(b), m.left)])
	m.left -= n
	if err == nil {
		m.compute <- struct{}{}
		m.computing = true
	}
	return n, err
}

// rest gives the processors to another handshake.
func (m *meter) rest() {
	if m.computing {
		<-m.compute
		m.computing = false
	}
}
