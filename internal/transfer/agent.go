package transfer

import (
	"context"
	"sync"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/snapshot"
)

// inboxSize is how many frames wait for an agent. Whoever sends more waits; transports call one handler for each peer, so others get
// their turn.
const inboxSize = 8

// AgentOptions are what an agent is made with.
type AgentOptions struct {
	Fetch Options
	Serve ServerOptions
	// Send gives a frame to the transport, class BULK. It does not block.
	Send func(to group.ID, frame []byte)
	// Done is told that a checkpoint is here and durable; it is called on a goroutine of the agent's and must not block for long.
	Done func(Target, *snapshot.Checkpoint)
	// Failed is told that one could not be fetched, because of the disk or because more than f replicas lie; called like Done.
	Failed func(Target, error)
}

// Agent fetches checkpoints for a replica and gives its own to others.
type Agent struct {
	o     AgentOptions
	clock *clock.Real
	inbox chan parcel
	wake  chan struct{}

	mu      sync.Mutex // of what follows
	fetcher *Fetcher
	server  *Server
	ending  bool // what is complete is being finished
}

// parcel is a frame that has arrived; frame is nil if it could not be decoded.
type parcel struct {
	from  group.ID
	frame *frame
	size  int
}

// NewAgent makes an agent; Run makes it work.
func NewAgent(o AgentOptions) *Agent {
	return &Agent{o: o, clock: clock.NewReal(), inbox: make(chan parcel, inboxSize), wake: make(chan struct{}, 1),
		fetcher: NewFetcher(o.Fetch), server: NewServer(o.Serve)}
}

// Run works until the context ends.
func (a *Agent) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var finished sync.WaitGroup
	defer finished.Wait()
	for ctx.Err() == nil {
		wait := a.work(&finished)
		if wait <= 0 {
			select {
			case p := <-a.inbox:
				a.take(p)
			default:
			}
			continue
		}
		timer.Reset(wait)
		select {
		case p := <-a.inbox:
			a.take(p)
		case <-a.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// work does what is due, and is how long there is nothing more to do.
func (a *Agent) work(finished *sync.WaitGroup) (wait time.Duration) {
	a.mu.Lock()
	now := a.clock.Now()
	if a.fetcher.Deadline() <= now {
		a.fetcher.Tick(now)
	}
	out := a.fetcher.flushed()
	to, frame := a.server.Next(now)
	due := min(a.fetcher.Deadline(), a.server.Deadline())
	lost, why := a.fetcher.failure()
	target, in, complete := a.fetcher.Complete()
	begin := complete && !a.ending
	a.ending = a.ending || begin
	a.mu.Unlock()
	if why != nil {
		a.o.Failed(lost, why)
	}
	for _, o := range out {
		a.o.Send(o.to, o.bytes)
	}
	if frame != nil {
		a.o.Send(to, frame)
		return 0
	}
	if begin {
		finished.Go(func() { a.finish(target, in) })
	}
	if due == clock.Never {
		return time.Hour
	}
	return due.Sub(a.clock.Now())
}

// finish makes what has come durable. That takes as long as the disk takes; others are served meanwhile.
func (a *Agent) finish(t Target, in *snapshot.Incoming) {
	c, err := a.o.Fetch.Store.Find(t.Digest), error(nil)
	switch {
	case in != nil:
		c, err = in.Finish()
	case c == nil:
		err = snapshot.ErrMissing // it was here, and was removed meanwhile
	}
	a.mu.Lock()
	a.fetcher.Ended(err)
	a.ending = false
	a.mu.Unlock()
	a.rouse()
	if err == nil {
		a.o.Done(t, c)
	}
}

// rouse makes Run look again.
func (a *Agent) rouse() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// take gives a frame to whom it is for.
func (a *Agent) take(p parcel) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if p.frame != nil && p.frame.kind.asks() {
		a.server.deliver(now, p.from, p.frame)
	} else {
		a.fetcher.deliver(now, p.from, p.frame, p.size)
	}
}

// Deliver takes a frame of a replica, 1..N other than this one; it may be called by many goroutines, and blocks while the agent has
// enough to do. Frames that arrive after Run has ended are dropped.
func (a *Agent) Deliver(ctx context.Context, from group.ID, bytes []byte) {
	p := parcel{from: from, size: len(bytes)}
	if f, err := decode(bytes); err == nil {
		p.frame = &f
	}
	select {
	case a.inbox <- p:
	case <-ctx.Done():
	}
}

// Fetch begins to fetch a checkpoint that is known to be stable; see Fetcher.Start.
func (a *Agent) Fetch(t Target) {
	a.mu.Lock()
	a.fetcher.Start(a.clock.Now(), t)
	a.mu.Unlock()
	a.rouse()
}

// Passed says that what is up to an ordinal is not needed any more: what is being fetched of it ends, and stays for another time. If all of
// it is there already, Done is called all the same.
func (a *Agent) Passed(ordinal uint64) {
	a.mu.Lock()
	a.fetcher.Passed(a.clock.Now(), ordinal)
	a.mu.Unlock()
	a.rouse()
}

// Progress is how far the transfer is.
func (a *Agent) Progress() Progress {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetcher.Progress(a.clock.Now())
}

// InUse is the ordinals of the checkpoints that others are fetching from this replica, for Store.Keep.
func (a *Agent) InUse() []uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.server.InUse(a.clock.Now())
}
