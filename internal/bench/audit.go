package bench

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/bench/stall"
	"github.com/primebft/prime/internal/local"
)

// updateSet is a set of updates, named by client and sequence number; 64 numbers share a word, as they come in runs.
type updateSet map[[32]byte]map[uint64]uint64

func (s updateSet) add(client [32]byte, seq uint64) {
	words := s[client]
	if words == nil {
		words = map[uint64]uint64{}
		s[client] = words
	}
	words[seq/64] |= 1 << (seq % 64)
}

// missing is how many updates of s are not in other.
func (s updateSet) missing(other updateSet) int {
	count := 0
	for client, words := range s {
		theirs := other[client]
		for at, word := range words {
			count += bits.OnesCount64(word &^ theirs[at])
		}
	}
	return count
}

// stream follows what one replica delivers.
type stream struct {
	id     int
	clock  stall.Clock
	conn   *local.Client
	cancel context.CancelFunc
	ended  chan struct{}

	mu        sync.Mutex
	delivered updateSet
	log       []Delivery
	ordinal   uint64 // last one seen
	skips     int    // times that the replica went on without what was next
	err       error  // why it ended
	measuring bool
	last      int64         // when something was delivered last, while measuring
	gap       time.Duration // longest so far, while measuring
}

// follow begins to follow a replica after an ordinal.
func follow(ctx context.Context, id int, folder string, after uint64, clock stall.Clock) (*stream, error) {
	s := &stream{id: id, clock: clock, delivered: updateSet{}, ordinal: after}
	return s, s.connect(ctx, folder)
}

// connect follows the replica from where the stream has come to.
func (s *stream) connect(ctx context.Context, folder string) error {
	conn, err := local.Dial(ctx, folder)
	if err != nil {
		return fmt.Errorf("r%d: %w", s.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	life, cancel := context.WithCancel(context.Background())
	ended, after := make(chan struct{}), s.ordinal
	s.conn, s.cancel, s.ended, s.err = conn, cancel, ended, nil
	go func() {
		defer close(ended)
		err := conn.Follow(life, after+1, s.take)
		for s.skip(err) {
			err = s.goOn(life, folder)
		}
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
	}()
	return nil
}

// skip notes that the replica itself has not delivered what comes next: it was away for so long that it went on from a checkpoint.
// False if that is not why the stream ended.
func (s *stream) skip(err error) bool {
	var gone *local.Failure
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.As(err, &gone) || gone.Code != local.Gone || gone.Oldest <= s.ordinal+1 {
		return false
	}
	s.ordinal, s.skips = gone.Oldest-1, s.skips+1
	return true
}

// goOn follows the replica, in a conversation of its own, from where the stream has come to.
func (s *stream) goOn(life context.Context, folder string) error {
	conn, err := local.Dial(life, folder)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old, after := s.conn, s.ordinal
	s.conn = conn
	s.mu.Unlock()
	_ = old.Close()
	return conn.Follow(life, after+1, s.take)
}

// whole reports whether the stream has everything.
func (s *stream) whole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.skips == 0
}

// reconnect goes on following a replica that was started again.
func (s *stream) reconnect(ctx context.Context, folder string) error {
	s.close()
	return s.connect(ctx, folder)
}

func (s *stream) take(records []app.Record) error {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		r := &records[i]
		if r.Update() {
			s.delivered.add(r.Client, r.Seq)
		}
		s.ordinal = r.Ordinal
	}
	s.log = append(s.log, Delivery{now, s.ordinal})
	if s.measuring {
		s.gap = max(s.gap, time.Duration(now-s.last))
		s.last = now
	}
	return nil
}

// Delivery is that a replica had delivered everything up to an ordinal at a time on the clock of package stall.
type Delivery struct {
	At      int64
	Ordinal uint64
}

// history is all deliveries so far.
func (s *stream) history() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// begin starts the measurement of gaps between deliveries.
func (s *stream) begin(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measuring, s.last, s.gap = true, now, 0
}

// end ends it and returns the longest.
func (s *stream) end(now int64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measuring = false
	return max(s.gap, time.Duration(now-s.last))
}

// position is the last ordinal seen, and why there will be no more, if that is so.
func (s *stream) position() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ordinal, s.err
}

// missing is how many of the acknowledged updates this replica has not delivered.
func (s *stream) missing(acknowledged updateSet) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return acknowledged.missing(s.delivered)
}

func (s *stream) close() {
	s.mu.Lock()
	cancel, ended := s.cancel, s.ended
	s.mu.Unlock()
	cancel()
	<-ended
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.conn.Close()
}
