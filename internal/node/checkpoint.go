package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
	"github.com/primebft/prime/internal/transfer"
	"github.com/primebft/prime/transport"
)

// CheckpointFolder is the folder, in a durable replica's folder, that its checkpoints are in.
const CheckpointFolder = "checkpoints"

// ephemeralRoom is how many bytes of checkpoints an ephemeral replica keeps in memory: its own newest ones and one that it fetches.
const ephemeralRoom = 1 << 30

// checkpoints makes the checkpoints of a replica, keeps them, gives them to others, and fetches what this one lacks.
//
//	recorder, deliverer → keep → worker → store → loop (Checkpointed)
//	loop (Stable) → worker → store;  loop (Lacks) → agent ⇄ peers → fetched → loop (Restored) → recorder → deliverer
type checkpoints struct {
	n      int // replicas
	store  *snapshot.Store
	agent  *transfer.Agent
	events *mailbox[core.Input]
	log    *slog.Logger

	ctx   context.Context  // ends with the replica
	end   func()           // ends ctx
	tasks *mailbox[func()] // of the worker
	// outlives says that the application has its state from elsewhere when the replica starts again, so that what led there need not be
	// kept.
	outlives bool
	journal  *journal // is told of a checkpoint that is on disk, if what led there need not be kept; its own have to stay

	fetching atomic.Uint64 // ordinal of the newest checkpoint that the core asked for, until it is past it; only the loop changes it
	news     chan struct{} // has a token when there may be something new for an application that awaits a state

	mu     sync.Mutex
	newest transfer.Target    // the newest stable checkpoint that is known
	awaits bool               // the application was too slow, and awaits the state of one
	here   *landed            // that has come meanwhile
	base   uint64             // ordinal that the core went on after last, without executing what is before; 0: it never did
	making uint64             // ordinal of the checkpoint that is being written; 0: none is
	landed map[uint64]*landed // checkpoints that the core has been given and the stream has not reached, by ordinal
	held   map[uint64]int     // checkpoints that the application is restored from, by ordinal
	stats  Checkpoints
}

// landed is a checkpoint that this replica goes on after.
type landed struct {
	due  *due
	open func() (io.ReadCloser, error) // nil: without a snapshot
}

// Checkpoints is what became of the checkpoints of a replica since its start.
type Checkpoints struct {
	Made     uint64 `json:"made"`     // by this replica
	Skipped  uint64 `json:"skipped"`  // because the one before was still being written, or there was no room
	Last     uint64 `json:"last"`     // ordinal of the last one made, or at the start of the newest that was there; 0 if there is none
	LastMS   int64  `json:"last_ms"`  // how long that took to be written
	Stable   uint64 `json:"stable"`   // ordinal of the newest that is known to be stable
	Bytes    uint64 `json:"bytes"`    // of the last one made
	Restored uint64 `json:"restored"` // ordinal of the last one, its own or others', that this replica went on after; 0 if there is none
	Jumps    uint64 `json:"jumps"`    // times that it went on after one of others, instead of executing what led there
	Fetched  uint64 `json:"fetched"`  // bytes of those that others sent
}

// outlives reports whether an application that starts anew has a way to the state of the one before.
func outlives(a app.Application) bool {
	_, ok := a.(follower)
	return ok || app.WayOf(a) != app.NoWay
}

// openStore opens the store of checkpoints.
func (n *Node) openStore() (*snapshot.Store, error) {
	o := snapshot.Options{
		Dir: filepath.Join(n.cfg.Dir, CheckpointFolder), Owner: n.checkpointOwner(),
		Note: func(what string) { n.log.Warn("checkpoints: " + what) },
	}
	if !n.durable() {
		o.Disk = snapshot.NewMemory(ephemeralRoom)
	}
	store, err := snapshot.Open(o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return store, nil
}

// openCheckpoints makes the agent, and lets everybody know where checkpoints go.
func (n *Node) openCheckpoints(g group.Group, store *snapshot.Store) {
	strategy := transfer.Bandwidth
	if n.cfg.Node.Transfer.Strategy == config.StrategyLatency {
		strategy = transfer.Latency
	}
	c := &checkpoints{
		n: g.N(), store: store, events: n.loop.events, log: n.log, tasks: newMailbox[func()](),
		news:   make(chan struct{}, 1),
		landed: map[uint64]*landed{}, held: map[uint64]int{},
		outlives: outlives(n.deliver.app), journal: n.journal,
	}
	c.agent = transfer.NewAgent(transfer.AgentOptions{
		Fetch: transfer.Options{Self: n.self, N: g.N(), F: g.F(), Strategy: strategy, Variant: n.cfg.Node.Transfer.Variant,
			Session: uint64(n.started.UnixNano()), Store: store},
		Serve: transfer.ServerOptions{N: g.N(), Store: store, Credit: min(transfer.DefaultCredit, n.cfg.Node.Network.BudgetBytes/2)},
		Send: func(to group.ID, frame []byte) {
			n.net.Send(int(to), transport.Frame{Class: transport.Bulk, Source: int(n.self), Bytes: frame})
		},
		Done: c.fetched, Failed: c.failed,
	})
	c.ctx, c.end = context.WithCancel(context.Background())
	if all := store.List(); len(all) > 0 {
		c.stats.Last, c.stats.Bytes = all[len(all)-1].Ordinal, all[len(all)-1].TotalBytes
	}
	n.checkpoints, n.deliver.keep, n.deliver.checkpoints, n.outlet.checkpoints = c, c.keep, c, c
	if c.outlives {
		n.journal.share(g.F())
	}
}

// checkpointOwner is whose checkpoints they are: of this replica, under this configuration.
func (n *Node) checkpointOwner() [32]byte {
	digest := n.cfg.Cluster.Digest()
	b := append([]byte("prime-checkpoints-v1\x00"), n.cfg.Cluster.ID[:]...)
	return sha256.Sum256(append(append(b, digest[:]...), byte(n.self)))
}

// run does what takes long, until stop.
func (c *checkpoints) run(stop <-chan struct{}) {
	var agent sync.WaitGroup
	agent.Go(func() { c.agent.Run(c.ctx) })
	defer agent.Wait()
	var spare []func()
	for {
		tasks, _ := c.tasks.take(spare)
		for i, task := range tasks {
			task()
			tasks[i] = nil
		}
		spare = tasks
		if len(tasks) > 0 {
			continue
		}
		select {
		case <-c.tasks.ready:
		case <-stop:
			return
		}
	}
}

// keep makes the checkpoint that is due, with the application's snapshot; nil if there is none. It does not wait: if the one before is
// still being written this one is skipped.
func (c *checkpoints) keep(d *due, s app.Snapshot) {
	ordinal := d.State.Ordinal
	c.mu.Lock()
	busy := c.making
	if busy == 0 {
		c.making = ordinal
	} else {
		c.stats.Skipped++
	}
	c.mu.Unlock()
	if busy != 0 {
		c.log.Warn("a checkpoint is not made, because the one before is still being written; if this goes on, raise "+
			"limits.checkpoint_ordinals and limits.checkpoint_bytes in cluster.toml, or use a faster disk", "ordinal", ordinal, "writing", busy)
		if s != nil {
			s.Release()
		}
		return
	}
	c.tasks.put(1, func() { c.make(d, s) })
}

// make writes a checkpoint.
func (c *checkpoints) make(d *due, s app.Snapshot) {
	begun := time.Now()
	m, err := c.write(d, s)
	if s != nil {
		s.Release()
	}
	c.mu.Lock()
	c.making = 0
	if err == nil {
		c.stats.Made++
		c.stats.Last, c.stats.Bytes, c.stats.LastMS = m.Ordinal, m.TotalBytes, time.Since(begun).Milliseconds()
	} else {
		c.stats.Skipped++
	}
	c.mu.Unlock()
	switch {
	case errors.Is(err, errOlder): // the replica has started again and goes through what was before
		return
	case errors.Is(err, snapshot.ErrFull):
		c.log.Warn("a checkpoint is not made, because there is no room for it; this replica goes on without it, and its log grows until one is "+
			"made: make room on the disk", "ordinal", d.State.Ordinal, "why", err)
		return
	case err != nil:
		c.log.Warn("a checkpoint is not made; this replica goes on without it", "ordinal", d.State.Ordinal, "why", err)
		return
	}
	c.log.Debug("checkpoint made", "ordinal", m.Ordinal, "bytes", m.TotalBytes, "took", time.Since(begun))
	if c.outlives {
		c.journal.kept(m.Ordinal)
	}
	c.events.put(1, core.Input{Checkpointed: &core.Checkpointed{Ordinal: m.Ordinal, Digest: m.Digest()}})
}

// errOlder says that a newer checkpoint is here already.
var errOlder = errors.New("a newer one is here already")

// write writes a checkpoint, unless it was written before a restart.
func (c *checkpoints) write(d *due, s app.Snapshot) (m blocks.Manifest, err error) {
	if before, err := c.store.Get(d.State.Ordinal); err == nil {
		return before.Manifest(), nil
	}
	if all := c.store.List(); len(all) > 0 && all[len(all)-1].Ordinal > d.State.Ordinal {
		return m, errOlder
	}
	w, err := c.store.Begin(d.State.Ordinal)
	if err != nil {
		return m, err
	}
	err = guarded(func() error {
		if _, err := w.Write(appendHead(nil, d, s != nil)); err != nil {
			return err
		}
		if err := w.EndHead(); err != nil || s == nil {
			return err
		}
		_, err := s.WriteTo(w)
		return err
	})
	if err != nil {
		w.Abort()
		return m, err
	}
	return w.Commit()
}

// stable notes that a checkpoint is stable: older ones are not needed, but by who fetches them. Only the loop calls it.
func (c *checkpoints) stable(s effect.Stable) {
	c.mu.Lock()
	c.stats.Stable = max(c.stats.Stable, s.Ordinal)
	c.newest = transfer.Target{Ordinal: s.Ordinal, Digest: s.Digest}
	c.mu.Unlock()
	wake(c.news)
	c.tasks.put(1, func() {
		if err := c.store.Keep(s.Ordinal, c.pins()...); err != nil {
			c.log.Warn("an old checkpoint cannot be removed", "why", err)
		}
	})
}

// pins is the checkpoints that are needed although they are old: those that a restart needs, or the application just now, and otherwise
// the newest that somebody fetches. The store keeps three of them.
func (c *checkpoints) pins() []uint64 {
	inUse := c.agent.InUse()
	all := c.journal.pinned()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base > 0 {
		all = append(all, c.base)
	}
	for ordinal := range c.held {
		all = append(all, ordinal)
	}
	for ordinal := range c.landed {
		all = append(all, ordinal)
	}
	if c.here != nil {
		all = append(all, c.here.due.State.Ordinal)
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) < 2 && len(inUse) > 0 {
		all = append(all, slices.Max(inUse))
	}
	return all
}

// goesOn notes what the core delivers: that it goes on after a checkpoint, without which the log, which says so, is of no use; or that it
// has executed by itself what it had asked for the state of. Only the loop calls it.
func (c *checkpoints) goesOn(d *effect.Delivery) {
	fetching := c.fetching.Load()
	past := fetching != 0 && d.Ordinal >= fetching
	if d.Jump == nil && !past {
		return
	}
	c.mu.Lock()
	if d.Jump != nil {
		c.base = d.Ordinal
	} else {
		delete(c.landed, fetching)
		if !c.awaits {
			go c.agent.Passed(fetching) // it may be asked for the next one before
		}
	}
	c.mu.Unlock()
	if past {
		c.fetching.Store(0)
	}
}

// leaped counts a jump. Only the loop calls it.
func (c *checkpoints) leaped() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Jumps++
}

// lacks fetches a checkpoint. Only the loop calls it.
func (c *checkpoints) lacks(s effect.Stable) {
	c.log.Warn("this replica lacks what no other one holds any more, and takes over the state of a checkpoint", "ordinal", s.Ordinal,
		"digest", s.Digest.String())
	c.fetching.Store(max(c.fetching.Load(), s.Ordinal))
	go c.agent.Fetch(transfer.Target{Ordinal: s.Ordinal, Digest: s.Digest}) // the agent may be reading a disk just now
}

// await notes whether the application awaits the state of a checkpoint.
func (c *checkpoints) await(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaits, c.here = is, nil
}

// awaited is the newest stable checkpoint, and the newest that has come for the application, nil if none has.
func (c *checkpoints) awaited() (newest transfer.Target, here *landed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest, c.here
}

// lend keeps a checkpoint for the application until that has read it.
func (c *checkpoints) lend(l *landed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.open != nil {
		c.landed[l.due.State.Ordinal] = l
	}
}

// fetched gives the core the state of a checkpoint that was fetched, or the application, or both: whoever lacks it.
func (c *checkpoints) fetched(t transfer.Target, from *snapshot.Checkpoint) {
	l, err := c.read(from)
	if err == nil && l.due.State.Ordinal != t.Ordinal {
		err = errHead
	}
	if err != nil { // Q replicas have signed it, so a correct one wrote it
		c.log.Error("a checkpoint that was fetched cannot be read; are all replicas of one version?", "ordinal", t.Ordinal, "why", err)
		return
	}
	c.log.Info("the state of a checkpoint is here", "ordinal", t.Ordinal, "bytes", from.Manifest().TotalBytes)
	lacking := c.fetching.Load() != 0
	c.mu.Lock()
	if lacking {
		c.landed[t.Ordinal] = l
	}
	if c.awaits {
		c.here = l
	}
	c.mu.Unlock()
	wake(c.news)
	if lacking {
		c.events.put(1, core.Input{Restored: l.due.State})
	}
}

// failed says why a checkpoint could not be fetched. The core says again that it is lacking, when there is a newer one or after a while.
func (c *checkpoints) failed(t transfer.Target, err error) {
	c.log.Error("the state of a checkpoint could not be fetched; it is tried again", "ordinal", t.Ordinal, "why", err)
}

// read reads the head of a checkpoint of the store.
func (c *checkpoints) read(from *snapshot.Checkpoint) (*landed, error) {
	head, err := from.Head()
	if err != nil {
		return nil, err
	}
	d, snapshot, err := parseHead(head, c.n)
	if err != nil {
		return nil, err
	}
	l := &landed{due: d}
	if snapshot {
		l.open = func() (io.ReadCloser, error) { return c.open(d.State.Ordinal, from), nil }
	}
	return l, nil
}

// restoring is a snapshot that the application reads; it stays in the store meanwhile.
type restoring struct {
	io.Reader
	done func()
}

// Close implements io.Closer.
func (r *restoring) Close() error {
	r.done()
	return nil
}

func (c *checkpoints) open(ordinal uint64, from *snapshot.Checkpoint) io.ReadCloser {
	c.mu.Lock()
	c.held[ordinal]++
	c.mu.Unlock()
	return &restoring{from.Application(), sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.held[ordinal]--; c.held[ordinal] == 0 {
			delete(c.held, ordinal)
		}
		delete(c.landed, ordinal)
	})}
}

// errNoCheckpoint says that a replica that starts again needs a checkpoint that is not in its folder.
var errNoCheckpoint = errors.New("a checkpoint that the log goes on after is not in folder \"" + CheckpointFolder + "\"")

// at is the checkpoint of an ordinal that the stream is to go on after.
func (c *checkpoints) at(ordinal uint64) (*landed, error) {
	c.mu.Lock()
	l := c.landed[ordinal]
	for other := range c.landed {
		if other < ordinal {
			delete(c.landed, other) // the core had gone past them
		}
	}
	c.mu.Unlock()
	if l != nil {
		return l, nil
	}
	from, err := c.store.Get(ordinal)
	if err != nil {
		return nil, fmt.Errorf("%w: ordinal %d: %w", errNoCheckpoint, ordinal, err)
	}
	return c.read(from)
}

// jumped lets the stream go on after a checkpoint that the core has gone on after. Only the recorder calls it.
func (c *checkpoints) jumped(state *effect.State, records *Records) error {
	l, err := c.at(state.Ordinal)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.stats.Restored = state.Ordinal
	if l.open == nil {
		delete(c.landed, state.Ordinal)
	}
	c.mu.Unlock()
	records.jump(l.due, l.open)
	return nil
}

// status is for people.
func (c *checkpoints) status() (Checkpoints, transfer.Progress) {
	p := c.agent.Progress()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Fetched = p.Total
	return s, p
}
