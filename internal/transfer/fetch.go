package transfer

import (
	"errors"
	"fmt"
	"time"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
	"github.com/primebft/prime/internal/wire"
)

// Strategy is how many replicas are asked for a block at once (SRDS 2014 section 4).
type Strategy uint8

// The strategies.
const (
	// Bandwidth asks one replica for a block, and others when it fails.
	Bandwidth Strategy = iota
	// Latency asks f+1 at once.
	Latency
)

// String is the strategy's name, as in configuration.
func (s Strategy) String() string {
	if s == Latency {
		return "latency"
	}
	return "bandwidth"
}

// Target is a checkpoint that is known to be stable.
type Target struct {
	Ordinal uint64
	Digest  wire.Digest
}

// DefaultWindow is how many blocks one replica may be asked for at once unless Options say otherwise.
const DefaultWindow = 32

// Options are how checkpoints are fetched.
type Options struct {
	Self     group.ID
	N, F     int // replicas, and how many of them may lie
	Strategy Strategy
	Variant  int    // of Bandwidth: 1 asks one more replica when one has failed, 2 asks f; 0 is 1
	Window   int    // blocks that one replica may be asked for at once; 0: DefaultWindow
	Session  uint64 // more than in any former life of this replica, for example the calendar time
	Store    *snapshot.Store
}

// phase is how far a transfer is.
type phase uint8

const (
	idle phase = iota
	manifests
	leaves
	recovering // what is here already is looked for
	fetching
	complete // all blocks are there and not durable yet
	failed
)

func (p phase) String() string {
	return [...]string{"idle", "manifest", "leaves", "local blocks", "blocks", "sync", "failed"}[p]
}

// Times of a transfer.
const (
	standstill = 200 * time.Millisecond // a step that comes later than that was kept by the machine: it is nobody's fault
	stuckLimit = 30 * time.Second       // after so long without a useful byte a newer checkpoint is fetched instead
	aloneLimit = 10 * time.Minute       // and after so long if no more than f have given anything: they may be faulty, and drag it out
	recoverNow = 16                     // blocks that are looked for at once
)

// ErrLies says that more replicas lie than may.
var ErrLies = errors.New("transfer: more than f replicas have sent something else than what a quorum has signed")

// item is a manifest, chunk or block that has been asked for and has not come.
type item struct {
	askers group.Set // who is asked now
	spares group.Set // who is asked for it as a spare
	tried  group.Set // who was asked
	fails  int       // of those, how many did not answer, or lied
	since  clock.Instant
	queued bool // it is in Fetcher.again
}

// outgoing is a frame to be sent.
type outgoing struct {
	to    group.ID
	bytes []byte
}

// Fetcher brings checkpoints from others. It is deterministic, given what its store has, and not safe for concurrent use.
type Fetcher struct {
	o       Options
	helpers []helper // by id, from 0

	phase   phase
	target  Target
	next    Target // another one, fetched if the target cannot be had any more; ordinal 0: none
	err     error
	untold  bool          // nobody has been told of err
	due     clock.Instant // when the next step was expected
	stepped clock.Instant // when the last one was
	useful  clock.Instant // when something useful came last
	began   clock.Instant // when the target was begun with
	givers  group.Set     // who has given something useful of it
	started uint64        // sessions before it were about another target

	manifest blocks.Manifest
	leaves   []wire.Digest
	missing  int    // chunks of leaves that have not come
	chunks   []bool // which have
	incoming *snapshot.Incoming

	// What is asked for in this phase.
	count  int           // items
	cursor int           // items before it have been asked for
	again  []int         // to be asked for again
	items  map[int]*item // asked for, and not come
	order  []int         // of items, by when they were asked for; some may have come
	turn   int           // who is asked first

	session uint64
	out     []outgoing
	stats   stats
	total   uint64 // useful bytes of all transfers
}

// NewFetcher returns a fetcher that fetches nothing.
func NewFetcher(o Options) *Fetcher {
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	f := &Fetcher{o: o, helpers: make([]helper, o.N), session: o.Session, due: clock.Never}
	return f
}

// Start begins to fetch a checkpoint. If one is being fetched it is brought to an end first, unless nobody has it any more.
func (f *Fetcher) Start(now clock.Instant, t Target) {
	switch f.phase {
	case idle, failed:
		f.begin(now, t)
	case complete:
		// Whoever started it will start again if that is not enough.
	default:
		if t != f.target {
			f.next = t
		}
	}
	f.step(now)
}

// Passed says that nothing up to an ordinal is needed any more. A checkpoint of it that is being fetched is not, and the store keeps what has
// come; a newer one that waits is begun with. What is complete stays so.
func (f *Fetcher) Passed(now clock.Instant, ordinal uint64) {
	if f.next.Ordinal <= ordinal {
		f.next = Target{}
	}
	if f.phase == complete || f.target.Ordinal > ordinal {
		return
	}
	if next := f.next; next.Ordinal > 0 && f.phase != idle && f.phase != failed {
		f.begin(now, next)
		f.step(now)
		return
	}
	f.close()
	f.phase, f.next, f.due = idle, Target{}, clock.Never
}

// begin begins to fetch a checkpoint, whatever was before.
func (f *Fetcher) begin(now clock.Instant, t Target) {
	if f.phase == idle || f.phase == failed {
		f.helpers = make([]helper, f.o.N)
		f.stats = stats{begun: now}
	}
	f.close()
	f.target, f.next, f.err, f.useful, f.began, f.givers = t, Target{}, nil, now, now, 0
	for i := range f.helpers {
		f.renew(&f.helpers[i])
		f.helpers[i].away = 0
	}
	f.started = f.session - uint64(f.o.N) + 1
	if f.o.Store.Find(t.Digest) != nil {
		f.phase = complete
		return
	}
	in, err := f.o.Store.Resume(t.Digest)
	switch {
	case err != nil:
		f.fail(err)
	case in != nil:
		f.take(in)
	default:
		f.enter(manifests, 1)
	}
}

// close lets go of what was being fetched; the store keeps what has come.
func (f *Fetcher) close() {
	if f.incoming != nil {
		f.incoming.Close()
		f.incoming = nil
	}
	f.leaves, f.chunks = nil, nil
}

func (f *Fetcher) fail(err error) {
	f.close()
	f.phase, f.err, f.untold = failed, err, true
}

// failure is what failed since it was called last, and why; nil if nothing did.
func (f *Fetcher) failure() (Target, error) {
	if !f.untold {
		return Target{}, nil
	}
	f.untold = false
	return f.target, f.err
}

// enter begins a phase in which count items are asked for.
func (f *Fetcher) enter(p phase, count int) {
	f.flush()
	f.phase, f.count, f.cursor = p, count, 0
	f.again, f.order, f.items = nil, nil, map[int]*item{}
	for i := range f.helpers {
		f.helpers[i].asks = f.helpers[i].asks[:0]
	}
}

// take goes on with blocks.
func (f *Fetcher) take(in *snapshot.Incoming) {
	f.incoming, f.manifest, f.leaves = in, in.Manifest(), nil
	f.enter(recovering, 0)
}

// Tick lets time pass; see Deadline.
func (f *Fetcher) Tick(now clock.Instant) { f.step(now) }

// deliver takes an answer of a replica, 1..N, of so many bytes; fr is nil if it could not be decoded.
func (f *Fetcher) deliver(now clock.Instant, from group.ID, fr *frame, size int) {
	h := &f.helpers[from.Index()]
	if f.phase == idle || f.phase == failed || from == f.o.Self || h.liar {
		return
	}
	if fr == nil {
		f.lied(from)
		f.step(now)
		return
	}
	f.forgive(now)
	if fr.session == h.session {
		h.received += uint64(size)
		h.owes = true
	}
	if fr.session >= f.started && fr.session <= f.session {
		f.answer(now, from, fr, size)
	}
	f.step(now)
}

// answer takes an answer about the target.
func (f *Fetcher) answer(now clock.Instant, from group.ID, fr *frame, size int) {
	h := &f.helpers[from.Index()]
	number, wanted := int(fr.number), false
	switch fr.kind {
	case notHeld:
		if len(h.asks) > 0 {
			h.away = now.Add(awayFor)
			f.release(h, from)
		}
		return
	case manifestIs:
		number, wanted = 0, f.phase == manifests
	case leavesAre:
		wanted = f.phase == leaves
	case blockIs:
		wanted = f.phase == fetching
	}
	x := f.items[number]
	if !wanted || x == nil || !x.tried.Has(from) {
		h.wasted += uint64(size)
		return
	}
	right, err := f.accept(number, fr)
	switch {
	case err != nil:
		f.fail(err)
	case !right:
		f.lied(from)
	default:
		f.useful, f.givers = now, f.givers.With(from)
		h.useful += uint64(size)
		f.stats.fetched += uint64(size)
		f.total += uint64(size)
		if f.phase == fetching {
			f.stats.blocks++
			h.learn(now, h.asked(number), f.o.Window)
		}
		h.heard, h.fails = now, 0
		f.settle(number, x, from)
		f.advance()
	}
}

// accept checks an answer, and stores it if it is right.
func (f *Fetcher) accept(number int, fr *frame) (right bool, err error) {
	switch fr.kind {
	case manifestIs:
		if right = fr.manifest.Digest() == f.target.Digest; right {
			f.manifest = fr.manifest
			f.leaves = make([]wire.Digest, f.manifest.Count())
			f.missing = blocks.Chunks(f.manifest.Count())
			f.chunks = make([]bool, f.missing)
		}
		return right, nil
	case leavesAre:
		if right = f.manifest.CheckChunk(number, fr.leaves, fr.path); right {
			from, _ := blocks.Chunk(number, f.manifest.Count())
			copy(f.leaves[from:], fr.leaves)
			f.chunks[number] = true
			f.missing--
		}
		return right, nil
	}
	return f.incoming.Put(number, fr.block)
}

// settle ends an item that has come: nobody needs to send it any more.
func (f *Fetcher) settle(number int, x *item, from group.ID) {
	for id := range x.askers.Union(x.spares).All() {
		h := &f.helpers[id.Index()]
		if h.drop(number) && id != from {
			h.drops = append(h.drops, uint32(number))
		}
	}
	delete(f.items, number)
}

// advance goes on to the next phase when the one at hand has nothing missing.
func (f *Fetcher) advance() {
	switch {
	case f.phase == manifests:
		f.enter(leaves, f.missing)
	case f.phase == leaves && f.missing == 0:
		in, err := f.o.Store.Incoming(f.manifest, f.leaves)
		if err != nil {
			f.fail(err)
			return
		}
		f.take(in)
	case f.phase == fetching && f.incoming.Left() == 0:
		f.enter(complete, 0)
	}
}

// recover looks for blocks that are here already.
func (f *Fetcher) recover(now clock.Instant) {
	done, err := f.incoming.Recover(recoverNow)
	f.useful = now
	if done {
		f.stats.copied += f.incoming.Copied()
	}
	switch {
	case err != nil:
		f.fail(err)
	case done && f.incoming.Left() == 0:
		f.enter(complete, 0)
	case done:
		f.enter(fetching, f.manifest.Count())
	}
}

// has reports whether an item of this phase has come.
func (f *Fetcher) has(number int) bool {
	switch f.phase {
	case leaves:
		return f.chunks[number]
	case fetching:
		return f.incoming.Has(number)
	}
	return false
}

// lied says that a replica has sent what no correct one sends. It is not asked again in this transfer.
func (f *Fetcher) lied(id group.ID) {
	h := &f.helpers[id.Index()]
	h.liar = true
	f.stats.lies++
	f.release(h, id)
	if f.stats.lies > f.o.F {
		f.fail(fmt.Errorf("%w: ordinal %d", ErrLies, f.target.Ordinal))
	}
}

// step does what time and answers have made due.
func (f *Fetcher) step(now clock.Instant) {
	f.forgive(now)
	if f.phase == recovering {
		f.recover(now)
	}
	if f.phase == manifests || f.phase == leaves || f.phase == fetching {
		f.expire(now)
		if f.next.Ordinal > 0 && f.lost(now) {
			f.begin(now, f.next)
			if f.phase == recovering {
				f.recover(now)
			}
		}
		f.ask(now)
	}
	f.flush()
	f.stepped = now
	f.due = f.Deadline()
}

// forgive moves all times by how long this replica stood still: nobody else was slow meanwhile.
func (f *Fetcher) forgive(now clock.Instant) {
	if f.due == clock.Never {
		return
	}
	if now.Sub(max(f.due, f.stepped)) < standstill {
		return
	}
	gap := now.Sub(f.stepped)
	for i := range f.helpers {
		f.helpers[i].shift(gap)
	}
	for _, number := range f.order {
		if x := f.items[number]; x != nil {
			x.since = x.since.Add(gap)
		}
	}
	f.due = clock.Never
}

// lost reports whether the target cannot be had any more: all who do not lie say that they do not have it, or nothing useful has come
// for long, or for very long from no more than f.
func (f *Fetcher) lost(now clock.Instant) bool {
	if now >= f.patience() {
		return true
	}
	for i := range f.helpers {
		if h := &f.helpers[i]; group.ID(i+1) != f.o.Self && !h.liar && now >= h.away {
			return false
		}
	}
	return true
}

// patience is until when the target is fetched although another one is known and nobody says that it does not have the target.
func (f *Fetcher) patience() clock.Instant {
	until := f.useful.Add(stuckLimit)
	if f.givers.Len() <= f.o.F {
		until = min(until, f.began.Add(aloneLimit))
	}
	return until
}

// flushed is the frames to be sent since it was called last.
func (f *Fetcher) flushed() []outgoing {
	out := f.out
	f.out = nil
	return out
}

// Complete is what was fetched, when all of it is there: it has to be finished, and then Ended.
func (f *Fetcher) Complete() (t Target, in *snapshot.Incoming, ok bool) {
	return f.target, f.incoming, f.phase == complete
}

// Ended says that what was complete has been finished, or that this failed.
func (f *Fetcher) Ended(err error) {
	f.close()
	f.phase = idle
	if err != nil {
		f.fail(err)
	}
}

// Err is why the last transfer failed; nil if it did not.
func (f *Fetcher) Err() error { return f.err }
