package transfer

import (
	"bytes"
	"container/heap"
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
)

// testBlock is the size of blocks in simulated transfers.
const testBlock = 4096

// message is a frame on its way in virtual time.
type message struct {
	at       clock.Instant
	seq      int
	from, to group.ID
	bytes    []byte
}

type flight []message

func (q flight) Len() int { return len(q) }
func (q flight) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q flight) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *flight) Push(x any)   { *q = append(*q, x.(message)) }
func (q *flight) Pop() any {
	old := *q
	m := old[len(old)-1]
	*q = old[:len(old)-1]
	return m
}

// lie is what a faulty replica sends instead of an answer, and how much later: any number of frames.
type lie func(r *rig, at clock.Instant, answer []byte) (frames [][]byte, later time.Duration)

// rig is a group in virtual time: replica 1 fetches, the others serve.
type rig struct {
	t       testing.TB
	o       Options
	delay   time.Duration
	rate    float64 // bytes per second of each link
	loss    float64
	rng     *rand.Rand
	now     clock.Instant
	queue   flight
	seq     int
	disk    snapshot.Disk
	store   *snapshot.Store
	fetcher *Fetcher
	servers map[group.ID]*Server
	stores  map[group.ID]*snapshot.Store
	liars   map[group.ID]lie
	free    map[group.ID]clock.Instant // when the link from a replica can take more
	sent    map[group.ID]int           // bytes of answers, by sender
	trace   hash.Hash
	step    func() // called after each event
}

// state is the content of a checkpoint; the same seed gives the same.
func state(seed uint64, size int) []byte {
	b := make([]byte, size)
	c := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = c.Read(b)
	return b
}

// put makes a checkpoint in a store.
func put(t testing.TB, s *snapshot.Store, ordinal uint64, app []byte) Target {
	t.Helper()
	w, err := s.Begin(ordinal)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte("head")) // Commit tells
	_ = w.EndHead()
	_, _ = w.Write(app)
	m, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return Target{ordinal, m.Digest()}
}

func openStore(t testing.TB, d snapshot.Disk) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Open(snapshot.Options{Dir: "checkpoints", Disk: d, BlockSize: testBlock})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRig(t testing.TB, n, f int, o Options, app []byte) (*rig, Target) {
	o.N, o.F, o.Self = n, f, 1
	r := &rig{t: t, o: o, delay: time.Millisecond, rate: 4 << 20, rng: rand.New(rand.NewPCG(1, 2)), servers: map[group.ID]*Server{},
		stores: map[group.ID]*snapshot.Store{}, liars: map[group.ID]lie{}, free: map[group.ID]clock.Instant{}, sent: map[group.ID]int{},
		trace: sha256.New(), now: 1}
	var target Target
	for id := group.ID(2); int(id) <= n; id++ {
		r.stores[id] = openStore(t, snapshot.NewMemory(1<<30))
		target = put(t, r.stores[id], 10, app)
		r.servers[id] = NewServer(ServerOptions{N: n, Store: r.stores[id], Credit: 16 * testBlock, Rate: -1})
	}
	r.disk = snapshot.NewMemory(1 << 30)
	r.restart()
	return r, target
}

// restart makes the fetching replica begin again with what its disk has.
func (r *rig) restart() {
	r.store = openStore(r.t, r.disk)
	r.o.Store = r.store
	r.o.Session += 1 << 32
	r.fetcher = NewFetcher(r.o)
}

// send puts a frame on its way.
func (r *rig) send(from, to group.ID, bytes []byte, later time.Duration) {
	if r.rng.Float64() < r.loss {
		return
	}
	at := r.now.Add(later)
	if from != 1 {
		r.sent[from] += len(bytes)
		at = max(at, r.free[from]).Add(time.Duration(float64(len(bytes)) / r.rate * 1e9))
		r.free[from] = at
	}
	r.seq++
	heap.Push(&r.queue, message{at.Add(r.delay), r.seq, from, to, bytes})
}

// flush lets all machines send what they have.
func (r *rig) flush() {
	for _, o := range r.fetcher.flushed() {
		r.send(1, o.to, o.bytes, 0)
	}
	for id := group.ID(2); int(id) <= r.o.N; id++ {
		for {
			to, bytes := r.servers[id].Next(r.now)
			if bytes == nil {
				break
			}
			if l := r.liars[id]; l != nil {
				frames, later := l(r, r.now, bytes)
				for _, b := range frames {
					r.send(id, to, b, later)
				}
				continue
			}
			r.send(id, to, bytes, 0)
		}
	}
}

// run lets time pass until the transfer is complete or has failed, or the limit is reached; it reports how long that took.
func (r *rig) run(limit time.Duration) (took time.Duration, done bool) {
	r.t.Helper()
	from := r.now
	for events := 0; ; events++ {
		if events > 2_000_000 {
			r.t.Fatal("it does not come to an end")
		}
		r.flush()
		if r.step != nil {
			r.step()
		}
		if _, _, ok := r.fetcher.Complete(); ok || r.fetcher.Err() != nil {
			return r.now.Sub(from), ok
		}
		next := r.fetcher.Deadline()
		for _, s := range r.servers {
			next = min(next, s.Deadline())
		}
		if len(r.queue) > 0 {
			next = min(next, r.queue[0].at)
		}
		if next > from.Add(limit) {
			return limit, false
		}
		r.now = max(r.now, next)
		if r.fetcher.Deadline() <= r.now {
			r.fetcher.Tick(r.now)
			continue
		}
		if len(r.queue) > 0 && r.queue[0].at <= r.now {
			r.receive(heap.Pop(&r.queue).(message))
		}
	}
}

// receive gives a message to whom it is for.
func (r *rig) receive(m message) {
	_, _ = r.trace.Write(m.bytes)
	f, err := decode(m.bytes)
	switch {
	case m.to != 1 && err == nil && f.kind.asks():
		r.servers[m.to].deliver(r.now, m.from, &f)
	case m.to == 1 && err != nil:
		r.fetcher.deliver(r.now, m.from, nil, len(m.bytes))
	case m.to == 1:
		r.fetcher.deliver(r.now, m.from, &f, len(m.bytes))
	}
}

// finish takes up what is complete and compares it with what it should be.
func (r *rig) finish(want []byte) {
	r.t.Helper()
	target, in, ok := r.fetcher.Complete()
	if !ok {
		r.t.Fatalf("it is not complete: %+v", r.fetcher.Progress(r.now))
	}
	c := r.store.Find(target.Digest)
	if in != nil {
		var err error
		if c, err = in.Finish(); err != nil {
			r.t.Fatal(err)
		}
	}
	r.fetcher.Ended(nil)
	got, err := io.ReadAll(c.Application())
	if err != nil || !bytes.Equal(got, want) {
		r.t.Fatalf("it is not what was voted on: %v", err)
	}
	head, err := c.Head()
	if err != nil || string(head) != "head" || c.Digest() != target.Digest {
		r.t.Fatalf("its head is %q: %v", head, err)
	}
}

// Lies.

// wrongBlocks changes a bit of every block.
func wrongBlocks(_ *rig, _ clock.Instant, answer []byte) ([][]byte, time.Duration) {
	if kind(answer[1]) == blockIs {
		answer[len(answer)-1] ^= 1
	}
	return [][]byte{answer}, 0
}

// wrongLeaves changes a bit of every chunk of leaves: of the digests that blocks are held against.
func wrongLeaves(_ *rig, _ clock.Instant, answer []byte) ([][]byte, time.Duration) {
	if kind(answer[1]) == leavesAre {
		answer[len(answer)-1] ^= 1
	}
	return [][]byte{answer}, 0
}

// wrongManifest changes the root of every manifest.
func wrongManifest(_ *rig, _ clock.Instant, answer []byte) ([][]byte, time.Duration) {
	if kind(answer[1]) == manifestIs {
		answer[len(answer)-1] ^= 1
	}
	return [][]byte{answer}, 0
}

func silent(*rig, clock.Instant, []byte) ([][]byte, time.Duration) { return nil, 0 }

// slow sends every answer half a second later than it could.
func slow(r *rig, at clock.Instant, answer []byte) ([][]byte, time.Duration) {
	return [][]byte{answer}, 500 * time.Millisecond
}

// flooding sends every answer, and right and wrong ones that nobody has asked for.
func flooding(r *rig, _ clock.Instant, answer []byte) ([][]byte, time.Duration) {
	f, err := decode(answer)
	if err != nil || f.kind != blockIs {
		return [][]byte{answer}, 0
	}
	f.number += 50
	other := f.append(nil)
	f.session += 3
	return [][]byte{answer, answer, other, f.append(nil), other}, 0
}

func garbage(_ *rig, _ clock.Instant, answer []byte) ([][]byte, time.Duration) {
	return [][]byte{answer[:len(answer)/2]}, 0
}

// absent says that it does not have anything.
func absent(_ *rig, _ clock.Instant, answer []byte) ([][]byte, time.Duration) {
	f := frame{kind: notHeld}
	if g, err := decode(answer); err == nil {
		f.session = g.session
	}
	return [][]byte{f.append(nil)}, 0
}

var lies = map[string]lie{
	"none": nil, "wrong blocks": wrongBlocks, "wrong digests": wrongLeaves, "wrong manifest": wrongManifest, "silent": silent, "slow": slow,
	"flood": flooding, "garbage": garbage, "absent": absent,
}

// harmless are what correct replicas may do.
var harmless = map[string]bool{"none": true, "silent": true, "slow": true, "absent": true}
