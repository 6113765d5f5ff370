package node

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/memory"
	"github.com/primebft/prime/transport"
)

// gated is a log whose commits wait until they are let through.
type gated struct {
	*memory.Log
	begun chan struct{}
	let   chan error
}

func (g *gated) Commit(records []storage.Record) error {
	g.begun <- struct{}{}
	if err := <-g.let; err != nil {
		return err
	}
	return g.Log.Commit(records)
}

func newGated() *gated {
	return &gated{Log: memory.New(0), begun: make(chan struct{}), let: make(chan error)}
}

// sent is the kinds of messages that a wiretap has seen for a replica.
func (w *wiretap) sent(t *testing.T, to int) (kinds []wire.Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.frames[to] {
		env, err := wire.Limits{N: 4}.Decode(f.Bytes)
		if err != nil {
			t.Error(err)
			continue
		}
		kinds = append(kinds, env.Kind)
	}
	return kinds
}

// durableEgress is what sends of a durable replica, its egress and its journal, running.
func durableEgress(t *testing.T, log storage.Log, broke func(error)) (*outlet, *journal, *wiretap, func()) {
	net := &wiretap{frames: map[int][]transport.Frame{}}
	j := newJournal(log, 0, slog.New(slog.DiscardHandler), broke)
	e := &egress{
		self: 2, header: wire.Header{Sender: 2, Epoch: 1, Incarnation: 1}, net: net, eased: func() {},
		complete: func(m wire.Message) wire.Message { return m },
		back:     newMailbox[ownCopy](), urgent: newMailbox[effect.Send](), rest: newMailbox[effect.Send](), repair: newMailbox[effect.Send](),
		sign: func(batch []*wire.Envelope) {
			for _, env := range batch {
				env.Finish(wire.Proof{Count: 1})
			}
		},
	}
	stop, loopDone := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { e.run(stop) })
	o := &outlet{net: net, egress: e, gate: newGate(j, e)}
	wg.Go(func() { o.gate.run(stop) })
	wg.Go(func() { j.run(loopDone) })
	return o, j, net, func() {
		close(stop)
		close(loopDone)
		wg.Wait()
	}
}

// TestPromisesWaitForTheDisk: no vote leaves, and none comes back, while the inputs that it follows from are not on disk; what
// promises nothing leaves at once. One commit lets through all that gathered before it.
func TestPromisesWaitForTheDisk(t *testing.T) {
	t.Parallel()
	log := newGated()
	o, j, net, end := durableEgress(t, log, func(err error) { t.Error(err) })
	all := group.MustNew(1, 0).All()
	vote := func(ordinal uint64) effect.Send {
		return effect.Send{To: all, Class: wire.Bounded, Msg: &wire.Prepare{Vote: wire.Vote{View: 1, Ordinal: ordinal}}}
	}
	pong := effect.Send{To: group.SetOf(1), Class: wire.Timely, Msg: &wire.Pong{View: 1, Dest: 1, Seq: 1}}
	for range 3 {
		j.input(1, core.Tick, false, 0)
	}
	o.send([]effect.Send{vote(1), pong, vote(2)})
	<-log.begun
	await(t, func() string {
		if kinds := net.sent(t, 1); !slices.Equal(kinds, []wire.Kind{wire.KindPong}) {
			return "the answer has not left, or more than that has"
		}
		return ""
	})
	if items, _ := o.egress.back.load(); items > 0 {
		t.Error("a vote came back before it was durable")
	}
	log.let <- nil
	await(t, func() string {
		if kinds := net.sent(t, 1); len(kinds) != 3 {
			return "the votes have not left"
		}
		return ""
	})
	if x := log.Extent(); x.Next != 2 || o.egress.batches.Load() != 2 {
		t.Errorf("%+v after one commit; %d signatures", x, o.egress.batches.Load())
	}
	if items, _ := o.egress.back.load(); items != 2 {
		t.Errorf("%d votes came back", items)
	}
	end()
}

// TestNothingLeavesABrokenLog: when a commit fails, nothing that waits for it ever leaves, and somebody is told, once.
func TestNothingLeavesABrokenLog(t *testing.T) {
	t.Parallel()
	log, broken, told := newGated(), errors.New("no room"), make(chan error, 10)
	o, j, net, end := durableEgress(t, log, func(err error) { told <- err })
	j.input(1, core.Tick, false, 0)
	o.send([]effect.Send{{To: group.MustNew(1, 0).All(), Class: wire.Bounded, Msg: &wire.NewLeader{View: 2}}})
	<-log.begun
	log.let <- broken
	if err := <-told; !errors.Is(err, broken) {
		t.Error(err)
	}
	j.input(2, core.Tick, false, 0)
	if j.wait(j.mark(), nil) {
		t.Error("something became durable after the end")
	}
	end()
	if kinds := net.sent(t, 1); len(kinds) > 0 || len(told) > 0 {
		t.Errorf("%v left, and %d more were told", kinds, len(told))
	}
}

// TestJournalEnds: what was given before the end is committed, although nobody waits for it.
func TestJournalEnds(t *testing.T) {
	t.Parallel()
	log := memory.New(0)
	j := newJournal(log, 0, slog.New(slog.DiscardHandler), func(err error) { t.Error(err) })
	stop := make(chan struct{})
	j.input(1, core.Tick, false, 0)
	close(stop)
	j.run(stop)
	if x := log.Extent(); x.Next != 2 {
		t.Errorf("%+v", x)
	}
}
