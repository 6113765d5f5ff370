package reply

import (
	"sync"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// overhead is what a remembered reply is charged besides its result: its place in the ring and in the map.
const overhead = 256

// Store remembers results within a budget, the newest, and tells whoever waits for one. It is safe for concurrent use, and
// calls nobody while it is locked. The functions given to it are called by the goroutine that calls Put or Refuse (or, if the
// result is known, Wait) and must not block.
type Store struct {
	mu        sync.Mutex
	budget    int
	used      int
	place     map[Key]uint64 // position in the ring
	ring      []Reply        // position p is at p & (len-1)
	first     uint64         // oldest position held
	next      uint64         // position of the next reply
	waiters   map[Key]*waiter
	followers map[wire.ClientID][]*follower // slices are replaced, never changed: calls are made from them unlocked
	calls     sync.Pool                     // *[]call
}

// waiter is one who waits for one reply. Those who wait for the same reply make a list.
type waiter struct {
	fn   func(Reply)
	more *waiter
}

type follower struct{ fn func(Reply) }

// call is one function to be called when the store is unlocked again.
type call struct {
	fn func(Reply)
	r  Reply
}

// New returns a store that remembers replies of budget bytes in all, each charged with its result and a fixed overhead. The
// newest reply is remembered whatever its size.
func New(budget int) *Store {
	return &Store{
		budget:    budget,
		place:     map[Key]uint64{},
		ring:      make([]Reply, 64),
		waiters:   map[Key]*waiter{},
		followers: map[wire.ClientID][]*follower{},
		calls:     sync.Pool{New: func() any { return new([]call) }},
	}
}

// Put remembers the results of executed updates, and tells those who wait for them. Batches come in the order of execution.
// The store keeps the results, which must not change any more.
func (s *Store) Put(batch []Reply) {
	calls := s.calls.Get().(*[]call)
	s.mu.Lock()
	for i := range batch {
		s.hold(&batch[i])
		s.resolve(&batch[i], calls)
	}
	s.mu.Unlock()
	s.run(calls)
}

// Refuse tells those who wait for these updates that they will have no record. A Duplicate whose result is remembered is
// nobody's news: whoever waited for it has it.
func (s *Store) Refuse(batch []effect.Refusal) {
	calls := s.calls.Get().(*[]call)
	s.mu.Lock()
	for _, f := range batch {
		r := Reply{Key: Key{Client: f.Client, Seq: f.Seq}, Refused: f.Why}
		if _, held := s.place[r.Key]; held && f.Why == effect.Duplicate {
			continue
		}
		s.resolve(&r, calls)
	}
	s.mu.Unlock()
	s.run(calls)
}

// Get returns the result of an update if it is remembered.
func (s *Store) Get(k Key) (Reply, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.place[k]
	if !ok {
		return Reply{}, false
	}
	return s.ring[at&s.mask()], true
}

// Wait calls fn exactly once: with the result when it is known, at once if it is, or with the reason why there will be none.
// After cancel it is not called, unless it is being called already.
func (s *Store) Wait(k Key, fn func(Reply)) (cancel func()) {
	s.mu.Lock()
	if at, ok := s.place[k]; ok {
		r := s.ring[at&s.mask()]
		s.mu.Unlock()
		fn(r)
		return func() {}
	}
	w := &waiter{fn: fn, more: s.waiters[k]}
	s.waiters[k] = w
	s.mu.Unlock()
	return func() { s.forget(k, w) }
}

// Follow calls fn with every reply and refusal for this client from now on, in order, until cancel; fn may be in the middle
// of its last call when cancel returns.
func (s *Store) Follow(client wire.ClientID, fn func(Reply)) (cancel func()) {
	f := &follower{fn: fn}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.followers[client]
	s.followers[client] = append(old[:len(old):len(old)], f)
	return func() { s.unfollow(client, f) }
}

// Len is how many replies are remembered, and how many bytes they are charged.
func (s *Store) Len() (replies, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.place), s.used
}

func (s *Store) mask() uint64 { return uint64(len(s.ring) - 1) }

func charge(r *Reply) int { return overhead + len(r.Result) }

// hold remembers r and forgets the oldest until the budget holds.
func (s *Store) hold(r *Reply) {
	if s.next-s.first == uint64(len(s.ring)) {
		s.grow()
	}
	s.ring[s.next&s.mask()] = *r
	s.place[r.Key] = s.next
	s.next++
	s.used += charge(r)
	for s.used > s.budget && s.next-s.first > 1 {
		old := &s.ring[s.first&s.mask()]
		s.used -= charge(old)
		if s.place[old.Key] == s.first { // and not a newer reply of the same name
			delete(s.place, old.Key)
		}
		*old = Reply{}
		s.first++
	}
}

func (s *Store) grow() {
	bigger := make([]Reply, 2*len(s.ring))
	for p := s.first; p != s.next; p++ {
		bigger[p&uint64(len(bigger)-1)] = s.ring[p&s.mask()]
	}
	s.ring = bigger
}

// resolve notes the calls that a reply or refusal asks for. Waiters are done with; followers stay.
func (s *Store) resolve(r *Reply, calls *[]call) {
	if w := s.waiters[r.Key]; w != nil {
		delete(s.waiters, r.Key)
		for ; w != nil; w = w.more {
			*calls = append(*calls, call{w.fn, *r})
		}
	}
	if len(s.followers) == 0 {
		return
	}
	for _, f := range s.followers[r.Client] {
		*calls = append(*calls, call{f.fn, *r})
	}
}

func (s *Store) run(calls *[]call) {
	for i := range *calls {
		c := &(*calls)[i]
		c.fn(c.r)
	}
	clear(*calls)
	*calls = (*calls)[:0]
	s.calls.Put(calls)
}

func (s *Store) forget(k Key, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.waiters[k]
	if at == w {
		if w.more == nil {
			delete(s.waiters, k)
		} else {
			s.waiters[k] = w.more
		}
		return
	}
	for ; at != nil; at = at.more {
		if at.more == w {
			at.more = w.more
			return
		}
	}
}

func (s *Store) unfollow(client wire.ClientID, f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.followers[client]
	if len(old) == 1 && old[0] == f {
		delete(s.followers, client)
		return
	}
	rest := make([]*follower, 0, len(old))
	for _, g := range old {
		if g != f {
			rest = append(rest, g)
		}
	}
	if len(rest) < len(old) {
		s.followers[client] = rest
	}
}
