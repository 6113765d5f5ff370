package sign

import (
	"crypto/ed25519"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// gate is a scheme that notes whose signatures are verified, in order, and can be held shut.
type gate struct {
	Ed25519
	mu     sync.Mutex
	open   sync.Cond
	shut   bool
	inside int // verifications that wait at the gate
	log    []ed25519.PublicKey
}

func newGate() *gate {
	g := new(gate)
	g.open.L = &g.mu
	return g
}

func (g *gate) Verify(key ed25519.PublicKey, message []byte, sig *wire.Signature) bool {
	g.mu.Lock()
	g.inside++
	g.open.Broadcast()
	for g.shut {
		g.open.Wait()
	}
	g.inside--
	g.log = append(g.log, key)
	g.mu.Unlock()
	return g.Ed25519.Verify(key, message, sig)
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	g.open.Broadcast()
}

// arrived waits until n verifications are at the shut gate.
func (g *gate) arrived(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inside < n {
		g.open.Wait()
	}
}

// position is how many verifications came before the first of key, once there was one.
func (g *gate) position(t *testing.T, key ed25519.PublicKey) int {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, k := range g.log {
		if k.Equal(key) {
			return i
		}
	}
	t.Fatal("never verified")
	return 0
}

func (c *cluster) pool(tb testing.TB, workers, budget int) *Pool {
	p := NewPool(c.verifier(), c.limits, c.n(), workers, budget)
	tb.Cleanup(p.Close)
	return p
}

// collect takes n messages of any class.
func collect(tb testing.TB, p *Pool, n int) (got []*wire.Envelope) {
	tb.Helper()
	deadline := time.After(patience)
	for len(got) < n {
		select {
		case <-p.Ready():
			for class := wire.Timely; class <= wire.Bulk; class++ {
				got = p.Take(got, class, 5)
			}
		case <-deadline:
			tb.Fatalf("%d messages of %d, then nothing: %+v", len(got), n, p.Stats())
		}
	}
	return got
}

// until waits for a condition.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	again, deadline := time.NewTicker(time.Millisecond), time.After(patience)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-deadline:
			tb.Fatalf("never: %s", what)
		}
	}
}

func TestPoolKeepsOrderPerPeerAndClass(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	p := c.pool(t, 4, 4096)
	const each = 150
	var senders sync.WaitGroup
	for id := group.ID(1); id <= 4; id++ {
		var batches [2][]*wire.Envelope // sizes vary, so that the checks take different times
		for class := range batches {
			for sent := 0; sent < each; {
				size := min(1+sent%7*sent%5, each-sent)
				var ms []wire.Message
				for i := range size {
					ms = append(ms, c.status(uint64(class*each+sent+i)))
				}
				batches[class] = append(batches[class], c.sign(id, ms...)...)
				sent += size
			}
			senders.Go(func() {
				for i, e := range batches[class] {
					if i%10 == 3 { // refused ones in between
						bad := append([]byte(nil), e.Raw...)
						bad[len(bad)-1] ^= 1
						p.Offer(id, wire.Timely+wire.Class(class), bad)
					}
					p.Offer(id, wire.Timely+wire.Class(class), e.Raw)
				}
			})
		}
	}
	got := collect(t, p, 4*2*each)
	senders.Wait()
	var next [5][2]uint64
	for _, e := range got {
		executed := e.Msg.(*wire.Status).Executed
		class := executed / each
		if want := next[e.Sender][class]; executed%each != want {
			t.Fatalf("%v class %d: message %d came when %d was next", e.Sender, class, executed%each, want)
		}
		next[e.Sender][class]++
	}
	for i, s := range p.Stats() {
		if s.Accepted != 2*each || s.Refused[BadSignature] != 2*each/10 || s.Bytes != 0 {
			t.Errorf("peer %d: %+v: want %d accepted, %d bad signatures and no bytes", i+1, s, 2*each, 2*each/10)
		}
	}
}

// A peer that floods with everything it can delays a message of another peer by one turn, not by its queue.
func TestFloodDelaysOthersByOneTurn(t *testing.T) {
	t.Parallel()
	scheme := newGate()
	c := newCluster(t, 1, 0, scheme, func(m *Membership) { m.ClientAuth = true })
	long := func(seq uint64) *wire.PreorderRequest { // as costly as a message can be
		r := new(wire.PreorderRequest)
		for i := range 64 {
			r.Seq, r.Updates = seq, append(r.Updates, c.update(testKey(2000), 64*seq+uint64(i)))
		}
		return r
	}
	var flood [][]byte
	for seq := uint64(1); seq <= 6; seq++ {
		flood = append(flood, c.one(1, long(seq)).Raw)
	}
	bounded, timely := c.one(2, c.status(1)).Raw, c.one(3, c.status(1)).Raw
	scheme.set(true)
	p := c.pool(t, 1, 1<<20)
	for _, raw := range flood {
		p.Offer(1, wire.Bounded, raw)
		p.Offer(1, wire.Timely, raw)
	}
	scheme.arrived(1) // the worker is in the middle of the flood
	p.Offer(2, wire.Bounded, bounded)
	p.Offer(3, wire.Timely, timely)
	scheme.set(false)
	collect(t, p, 2)
	until(t, "all verified", func() bool { return p.Stats()[0].Accepted == 12 })
	if got := scheme.position(t, c.keyring.PublicKey(3)); got > 2*slice {
		t.Errorf("%d verifications came before the TIMELY message: want one turn of at most %d", got, 2*slice)
	}
	// The flood may use what is left of its quantum in both classes, and a turn it is in.
	if got := scheme.position(t, c.keyring.PublicKey(2)); got > 5*slice {
		t.Errorf("%d verifications came before the BOUNDED message of another peer: want a round of at most %d", got, 5*slice)
	}
}

func TestPeersTakeTurns(t *testing.T) {
	t.Parallel()
	scheme := newGate()
	c := newCluster(t, 1, 0, scheme, nil)
	scheme.set(true)
	p := c.pool(t, 1, 1<<20)
	for i := range 10 {
		p.Offer(1, wire.Bounded, c.one(1, c.status(uint64(i))).Raw)
	}
	scheme.arrived(1)
	for i := range 2 {
		p.Offer(3, wire.Bounded, c.one(3, c.status(uint64(i))).Raw)
	}
	scheme.set(false)
	until(t, "all verified", func() bool { s := p.Stats(); return s[0].Accepted == 10 && s[2].Accepted == 2 })
	if got := scheme.position(t, c.keyring.PublicKey(3)); got > 1 {
		t.Errorf("%d verifications came before the other peer's message: want the one that was under way", got)
	}
	var order []group.ID
	for _, e := range p.Take(nil, wire.Bounded, 6) {
		order = append(order, e.Sender)
	}
	if want := []group.ID{1, 3, 1, 3, 1, 1}; !slices.Equal(order, want) {
		t.Errorf("taken from %v, want %v", order, want)
	}
	if got := p.Take(nil, wire.Timely, 6); len(got) != 0 {
		t.Errorf("%d TIMELY messages that nobody sent", len(got))
	}
}

// What a costly message spends beyond its sender's quantum is owed: shares are fair in verifications, not in messages.
func TestCostlyMessagesAreChargedInFull(t *testing.T) {
	t.Parallel()
	scheme := newGate()
	c := newCluster(t, 5, 0, scheme, nil)
	const others = 64
	var certificates, statuses [][]byte
	for i := range uint64(8) {
		by := []group.ID{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
		certificates = append(certificates, c.one(13, c.certificate(i+1, by...)).Raw)
	}
	for i := range uint64(others) {
		statuses = append(statuses, c.one(14, c.status(i)).Raw)
	}
	scheme.set(true)
	p := c.pool(t, 1, 1<<20)
	p.Offer(15, wire.Timely, c.one(15, c.status(0)).Raw)
	scheme.arrived(1)
	for _, raw := range certificates {
		p.Offer(13, wire.Bounded, raw)
	}
	for _, raw := range statuses {
		p.Offer(14, wire.Bounded, raw)
	}
	scheme.set(false)
	until(t, "all statuses verified", func() bool { return p.Stats()[13].Accepted == others })
	const cost = 1 + 1 + 16 + 11 // certificate, proposal, rows, commits
	last, key := 0, c.keyring.PublicKey(14)
	scheme.mu.Lock()
	defer scheme.mu.Unlock()
	own := 0
	for i, k := range scheme.log {
		if k.Equal(key) {
			if own++; own <= others {
				last = i
			}
		}
	}
	if flood := last + 1 - others; flood > others+cost+slice {
		t.Errorf("%d verifications for the peer with costly messages while the other had %d", flood, others)
	}
}

func TestFullLaneBlocksItsReaderOnly(t *testing.T) {
	t.Parallel()
	scheme := newGate()
	c := newCluster(t, 1, 0, scheme, nil)
	scheme.set(true)
	const budget = 4096
	p := c.pool(t, 1, budget)
	ms := c.sign(1, c.statuses(64)...)
	size := len(ms[0].Raw) + itemOverhead
	fit := budget / size
	offered := make(chan int, len(ms))
	go func() {
		for i, e := range ms {
			p.Offer(1, wire.Bounded, e.Raw)
			offered <- i
		}
	}()
	for range fit {
		<-offered
	}
	p.Offer(1, wire.Timely, c.one(1, c.status(99)).Raw) // another class
	p.Offer(2, wire.Bounded, c.one(2, c.status(1)).Raw) // another peer
	if got := p.Stats()[0].Bytes; got > budget+size {
		t.Errorf("%d bytes queued of one peer: the budget is %d per class", got, budget)
	}
	select {
	case i := <-offered:
		t.Errorf("message %d was let in beyond the budget", i)
	default:
	}
	scheme.set(false)
	if got := collect(t, p, len(ms)+2); len(got) != len(ms)+2 {
		t.Errorf("%d messages, want %d", len(got), len(ms)+2)
	}
}

func TestRefusedMessagesNeedNoConsumer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	p := c.pool(t, 2, 1024)
	for i := range 200 {
		p.Offer(1, wire.Bounded, make([]byte, i))
	}
	large := make([]byte, 1<<16)
	p.Offer(1, wire.Recon, large) // larger than the budget, but alone
	until(t, "everything refused", func() bool { return p.Stats()[0].Refused[Malformed] == 201 })
	p.Offer(0, wire.Bounded, large)
	p.Offer(5, wire.Bounded, large)
	p.Offer(1, 0, large)
	p.Offer(1, wire.Bulk+1, large)
}

func TestWhoMayBringWhat(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	p := c.pool(t, 2, 1<<20)
	p.Offer(2, wire.Bounded, c.one(1, c.proposal(1)).Raw)
	p.Offer(2, wire.Recon, c.one(3, c.request(1)).Raw)
	p.Offer(2, wire.Bounded, c.one(2, c.certificate(1, 1, 3, 4)).Raw)
	p.Offer(2, wire.Bounded, c.one(3, c.status(1)).Raw)
	p.Offer(2, wire.Bounded, c.summary(3, 1).Raw)
	p.Offer(2, wire.Bounded, c.one(3, c.report(3, 1)).Raw)
	p.Offer(2, wire.Bounded, c.one(4, c.replay(4)).Raw)
	p.Offer(2, wire.Bounded, c.one(2, c.votes(2, 1, 3, 4)).Raw)
	p.Offer(2, wire.Bounded, c.one(2, c.window(2, 1, 3, 4)).Raw)
	p.Offer(2, wire.Bounded, c.one(3, c.votes(2, 1, 3, 4)).Raw)
	p.Offer(2, wire.Bounded, c.one(3, c.window(2, 1, 3, 4)).Raw)
	p.Offer(2, wire.Bounded, c.one(3, &wire.NewLeader{View: 2}).Raw)
	p.Offer(2, wire.Bounded, c.one(3, &wire.StateShare{Resolution: c.resolution(2)}).Raw)
	collect(t, p, 7)
	until(t, "six misdirected", func() bool { return p.Stats()[1].Refused[Misdirected] == 6 })
}

func TestWaitingDuplicatesAreDropped(t *testing.T) {
	t.Parallel()
	scheme := new(counting)
	c := newCluster(t, 1, 0, scheme, nil)
	p := c.pool(t, 2, 1<<20)
	raw := c.one(1, c.status(1)).Raw
	p.Offer(1, wire.Bounded, raw)
	until(t, "accepted", func() bool { return p.Stats()[0].Accepted == 1 })
	for range 10 {
		p.Offer(1, wire.Bounded, raw)
	}
	until(t, "duplicates dropped", func() bool { return p.Stats()[0].Refused[Duplicate] == 10 })
	collect(t, p, 1)
	p.Offer(1, wire.Bounded, raw) // repeated after we had it: perhaps we had no use for it then
	collect(t, p, 1)
	if got := scheme.verified.Load(); got != 1 {
		t.Errorf("%d verifications of one message, want 1", got)
	}
}

func TestOneBatchCostsOneVerificationWhateverTheWorkers(t *testing.T) {
	t.Parallel()
	scheme := new(counting)
	c := newCluster(t, 1, 0, scheme, nil)
	p := c.pool(t, 8, 1<<20)
	for id := group.ID(1); id <= 4; id++ {
		for _, e := range c.sign(id, c.statuses(64)...) {
			p.Offer(id, wire.Bounded, e.Raw)
		}
	}
	collect(t, p, 4*64)
	if got := scheme.verified.Load(); got != 4 {
		t.Errorf("%d verifications of 4 batches", got)
	}
}

func TestCloseFreesBlockedReaders(t *testing.T) {
	t.Parallel()
	scheme := newGate()
	c := newCluster(t, 1, 0, scheme, nil)
	scheme.set(true)
	p := NewPool(c.verifier(), c.limits, c.n(), 1, 1)
	raw := c.one(1, c.status(1)).Raw
	p.Offer(1, wire.Bounded, raw)
	scheme.arrived(1)
	blocked := make(chan struct{})
	go func() {
		p.Offer(1, wire.Bounded, raw)
		close(blocked)
	}()
	go scheme.set(false)
	p.Close()
	select {
	case <-blocked:
	case <-time.After(patience):
		t.Fatal("a reader is still blocked")
	}
	p.Offer(1, wire.Bounded, raw)
}
