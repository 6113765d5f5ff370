package prime

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/node"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
)

// session is the replica as a client of its own: it names updates, and finds who waits for their results. Sequence numbers
// start at the calendar time in microseconds and rise by one. At most window of them are under way, because the replicas
// remember no more of a session.
type session struct {
	node   *node.Node
	id     wire.ClientID
	key    ed25519.PrivateKey // nil: clients do not sign
	scheme sign.Scheme
	window uint64

	mu      sync.Mutex
	last    uint64 // last sequence number used
	oldest  uint64 // every number before it is resolved
	waiting map[uint64]*waiter
	room    chan struct{} // closed when oldest rises; nil if nobody waits for that
	ended   error         // no more results will come
}

// waiter is an update under way and what is to be done with its outcome.
type waiter struct {
	done   func(Result, error)
	detach func() bool // from its context; nil if that never ends
}

func newSession(n *node.Node, key ed25519.PrivateKey, scheme sign.Scheme, window int) *session {
	now := uint64(time.Now().UnixMicro())
	s := &session{
		node: n, id: wire.ClientID(key.Public().(ed25519.PublicKey)), scheme: scheme, window: uint64(window),
		last: now, oldest: now + 1, waiting: map[uint64]*waiter{},
	}
	if scheme != nil {
		s.key = key
	}
	n.Replies().Follow(s.id, s.resolve)
	return s
}

// submit hands an update in and calls done exactly once.
func (s *session) submit(ctx context.Context, payload []byte, done func(Result, error)) {
	w := &waiter{done: done}
	seq, err := s.enter(ctx, w)
	if err != nil {
		done(Result{}, err)
		return
	}
	u := wire.Update{Client: s.id, Seq: seq, Payload: append([]byte(nil), payload...)}
	if s.key != nil {
		sign.SignUpdate(s.scheme, s.key, s.node.Keyring().Cluster(), &u)
	}
	if err := s.node.Submit(u); err != nil {
		s.finish(seq, Result{}, err)
		return
	}
	if ctx.Done() != nil {
		s.attach(ctx, seq)
	}
}

// enter waits for room in the window and takes the next number.
func (s *session) enter(ctx context.Context, w *waiter) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.ended == nil && s.last+1 >= s.oldest+s.window {
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if ctx.Err() != nil {
			return 0, fmt.Errorf("the update has not been accepted: %d are under way, the most that a session may have: %w",
				s.window, ctx.Err())
		}
	}
	if s.ended != nil {
		return 0, s.ended
	}
	s.last++
	s.waiting[s.last] = w
	return s.last, nil
}

// attach gives an update up when its context ends.
func (s *session) attach(ctx context.Context, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.waiting[seq]; w != nil {
		w.detach = context.AfterFunc(ctx, func() {
			s.finish(seq, Result{}, fmt.Errorf("%w: the update was accepted: %w", ErrOutcomeUnknown, context.Cause(ctx)))
		})
	}
}

// resolve is called by the store of replies with everything about this session.
func (s *session) resolve(r reply.Reply) {
	switch r.Refused {
	case 0:
		s.finish(r.Seq, Result{r.Epoch, r.Ordinal, r.Index, r.Client, r.Seq, r.Result}, nil)
	case effect.Expired:
		s.finish(r.Seq, Result{}, ErrSessionExpired)
	case effect.Overloaded:
		s.finish(r.Seq, Result{}, ErrOverloaded)
	case effect.Oversized:
		s.finish(r.Seq, Result{}, ErrOversized)
	case effect.Duplicate: // the result of the first is the result
	}
}

// finish tells whoever waits for an update, unless that has been done.
func (s *session) finish(seq uint64, result Result, err error) {
	s.mu.Lock()
	w := s.waiting[seq]
	delete(s.waiting, seq)
	moved := false
	for s.oldest <= s.last && s.waiting[s.oldest] == nil {
		s.oldest++
		moved = true
	}
	if moved && s.room != nil {
		close(s.room)
		s.room = nil
	}
	var detach func() bool
	if w != nil {
		detach = w.detach
	}
	s.mu.Unlock()
	if detach != nil {
		detach()
	}
	if w != nil {
		w.done(result, err)
	}
}

// missed gives up what is under way, for it may have been executed in what the application was not given.
func (s *session) missed() {
	s.mu.Lock()
	var seqs []uint64
	for seq := range s.waiting {
		seqs = append(seqs, seq)
	}
	s.mu.Unlock()
	for _, seq := range seqs {
		s.finish(seq, Result{}, fmt.Errorf("%w: the update was accepted, but the application goes on after records that it was not given",
			ErrOutcomeUnknown))
	}
}

// end gives up everything under way: no more results will come, and why.
func (s *session) end(why error) {
	s.mu.Lock()
	s.ended = why
	var seqs []uint64
	for seq := range s.waiting {
		seqs = append(seqs, seq)
	}
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
	s.mu.Unlock()
	for _, seq := range seqs {
		s.finish(seq, Result{}, fmt.Errorf("%w: the update was accepted: %w", ErrOutcomeUnknown, why))
	}
}
