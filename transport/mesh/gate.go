package mesh

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/primebft/prime/internal/wire"
)

// gate bounds what connections cost before it is known whose they are. A connection starts out as anybody's, in a place that
// belongs to its address; places are few and the oldest connection has to go when a new one needs its place, so whoever only
// holds connections open keeps nobody out. A connection with a valid knock moves to a place of its peer, where only that peer
// can push it out, and its handshake counts against that peer's rate, not against what strangers at the same address use.
type gate struct {
	mu      sync.Mutex
	origins map[netip.Addr]*origin
	peers   map[int]*room
	known   atomic.Pointer[map[netip.Addr]bool] // the addresses of origins
	all     int                                 // connections that are still anybody's
	most    int                                 // of those
}

// origin is an address at which peers are configured.
type origin struct {
	peers int // configured there
	room
}

// room is a number of places for connections whose handshake is under way.
type room struct {
	limiter *rate.Limiter // handshakes
	places  int
	waiting []*visitor // oldest first
}

// visitor is a connection whose handshake is under way.
type visitor struct {
	conn   net.Conn
	origin *origin
	room   *room // where it is now: its origin's, then perhaps its peer's
	peer   int   // whose knock it had; 0: none
}

// mostAnonymous is the most connections, over all addresses, that are nobody's yet.
const mostAnonymous = 1024

// perPeer is how many handshakes a peer may have under way: every class, and as many again that it has given up on.
const perPeer = 2 * wire.Classes

// newGate makes a gate for the given peers; perSecond is the handshakes that each may start, per class.
func newGate(peers []int, perSecond float64) *gate {
	g := &gate{origins: map[netip.Addr]*origin{}, peers: map[int]*room{}, most: mostAnonymous}
	for _, id := range peers {
		g.peers[id] = &room{limiter: limiter(perSecond, 1), places: perPeer}
	}
	return g
}

func limiter(perSecond float64, peers int) *rate.Limiter {
	perSecond *= float64(peers * wire.Classes)
	return rate.NewLimiter(rate.Limit(perSecond), max(peers*perPeer, int(2*perSecond)))
}

// configure says at which addresses peers are, and how many at each. Addresses that remain keep their state.
func (g *gate) configure(peersAt map[netip.Addr]int, perSecond float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for addr := range g.origins {
		if peersAt[addr] == 0 {
			delete(g.origins, addr)
		}
	}
	known := map[netip.Addr]bool{}
	for addr := range peersAt {
		known[addr] = true
	}
	g.known.Store(&known)
	for addr, n := range peersAt {
		if o := g.origins[addr]; o != nil && o.peers == n {
			continue
		}
		g.origins[addr] = &origin{peers: n, room: room{limiter: limiter(perSecond, n), places: 2*n*perPeer + 16}}
	}
}

// knows reports whether a peer is configured at an address.
func (g *gate) knows(addr netip.Addr) bool {
	known := g.known.Load()
	return known != nil && (*known)[addr]
}

// admit gives a new connection a place, or nil if no peer is configured at its address. The oldest connections that it
// pushes out are closed.
func (g *gate) admit(conn net.Conn) *visitor {
	addr := addrPort(conn.RemoteAddr()).Addr()
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.origins[addr]
	if o == nil {
		return nil
	}
	if len(o.waiting) >= o.places {
		g.evict(&o.room)
	}
	if g.all >= g.most {
		g.evict(g.fullest())
	}
	v := &visitor{conn: conn, origin: o, room: &o.room}
	o.waiting = append(o.waiting, v)
	g.all++
	return v
}

// promote moves a connection with a valid knock to its peer's places and reports whether the peer may shake hands now. The
// connection must be waiting in its origin's room, or have been pushed out of it.
func (g *gate) promote(v *visitor, peer int, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.remove(v) {
		return false
	}
	r := g.peers[peer]
	if len(r.waiting) >= r.places {
		g.evict(r)
	}
	v.room, v.peer = r, peer
	r.waiting = append(r.waiting, v)
	return r.limiter.AllowN(now, 1)
}

// anonymous reports whether a connection without a valid knock may shake hands now.
func (g *gate) anonymous(v *visitor, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return v.origin.limiter.AllowN(now, 1)
}

// leave gives the place of a connection back: its handshake is over.
func (g *gate) leave(v *visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(v)
}

// waiting is how many handshakes are under way: of anybody, and of peers.
func (g *gate) waiting() (anybody, peers int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.peers {
		peers += len(r.waiting)
	}
	return g.all, peers
}

// evict closes the oldest connection in a room.
func (g *gate) evict(r *room) {
	v := r.waiting[0]
	g.remove(v)
	_ = v.conn.Close() // its handshake ends with an error
}

// remove takes a connection out of its room and reports whether it was there.
func (g *gate) remove(v *visitor) bool {
	i := slices.Index(v.room.waiting, v)
	if i < 0 {
		return false
	}
	v.room.waiting = slices.Delete(v.room.waiting, i, i+1)
	if v.peer == 0 {
		g.all--
	}
	return true
}

// fullest is the room of the address with most connections waiting.
func (g *gate) fullest() *room {
	var most *room
	for _, o := range g.origins {
		if most == nil || len(o.waiting) > len(most.waiting) {
			most = &o.room
		}
	}
	return most
}
