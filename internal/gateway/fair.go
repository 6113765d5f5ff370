package gateway

import (
	"errors"
	"sync"
	"time"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/wire"
)

const (
	updateCost = 256     // what an update is charged besides its payload: its place in queues, its work
	quantum    = 8 << 10 // what a client may submit each time it is its turn
	pauseMin   = time.Millisecond
	pauseMax   = 16 * time.Millisecond
)

// fairQueue holds the updates that wait for the backend, by client, and takes from the clients in turn, the same number of
// bytes from each (deficit round robin, Shreedhar and Varghese 1995): however much one client sends, another's update waits
// for at most a quantum of every other client. A client whose lane is full is not read.
type fairQueue struct {
	mu     sync.Mutex
	most   int // bytes of one lane
	least  int // bytes that each lane may have, however many there are
	share  int // bytes that all lanes share, beyond that
	bytes  int
	closed bool
	lanes  map[wire.ClientID]*lane
	turn   []*lane   // lanes that have updates; the first is next
	work   sync.Cond // turn or closed has changed
}

// lane is one client's updates. It lives as long as the client is connected or has updates.
type lane struct {
	q       *fairQueue
	client  wire.ClientID
	users   int // sessions
	bytes   int // reserved and queued
	deficit int
	items   []waitingUpdate // the oldest first
	room    sync.Cond       // bytes or closed has changed
}

// waitingUpdate is one update and the session that wants to hear of it.
type waitingUpdate struct {
	u     wire.Update
	from  *session
	since time.Time
}

func (w *waitingUpdate) cost() int { return len(w.u.Payload) + updateCost }

func (q *fairQueue) init(cfg *Config) {
	q.most, q.least, q.share = cfg.ClientBytes, 2*(cfg.UpdateBytes+updateCost), cfg.AllClientBytes
	q.lanes, q.work.L = map[wire.ClientID]*lane{}, &q.mu
}

// join returns the client's lane for one more session.
func (q *fairQueue) join(client wire.ClientID) *lane {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[client]
	if l == nil {
		l = &lane{q: q, client: client}
		l.room.L = &q.mu
		q.lanes[client] = l
	}
	l.users++
	return l
}

// leave takes a session from a lane. What it queued stays queued.
func (q *fairQueue) leave(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.users--
	q.prune(l)
}

func (q *fairQueue) prune(l *lane) {
	if l.users == 0 && len(l.items) == 0 {
		delete(q.lanes, l.client)
	}
}

// reserve waits for room for a payload of this size; false if the gateway is closing.
func (l *lane) reserve(size int) bool {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	for !l.q.closed && l.bytes+size+updateCost > l.q.bound() {
		l.room.Wait()
	}
	if l.q.closed {
		return false
	}
	l.charge(size + updateCost)
	return true
}

// bound is how many bytes a lane may have: fewer when there are many. Equal shares instead of one pool, so that nobody can
// take all of it and make the others wait.
func (q *fairQueue) bound() int { return max(q.least, min(q.most, q.share/max(1, len(q.lanes)))) }

// release gives back what was reserved for a payload that will not be queued.
func (l *lane) release(size int) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	l.charge(-(size + updateCost))
}

func (l *lane) charge(n int) {
	l.bytes += n
	l.q.bytes += n
	if n < 0 {
		l.room.Broadcast()
	}
}

// push queues an update for which there is room; false if the gateway is closing.
func (l *lane) push(u wire.Update, from *session) bool {
	q := l.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	l.items = append(l.items, waitingUpdate{u, from, time.Now()})
	if len(l.items) == 1 {
		q.turn = append(q.turn, l)
		q.work.Signal()
	}
	return true
}

// pop waits for the next update whose turn it is; false if the gateway is closing.
func (q *fairQueue) pop() (w waitingUpdate, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.turn) == 0 && !q.closed {
		q.work.Wait()
	}
	if q.closed {
		return w, false
	}
	l := q.turn[0]
	for l.deficit < l.items[0].cost() {
		l.deficit += quantum
		if l.deficit >= l.items[0].cost() && len(q.turn) == 1 {
			break
		}
		copy(q.turn, q.turn[1:])
		q.turn[len(q.turn)-1] = l
		l = q.turn[0]
	}
	return q.take(l), true
}

// take removes the oldest update of a lane that has one.
func (q *fairQueue) take(l *lane) waitingUpdate {
	w := l.items[0]
	l.items[0] = waitingUpdate{}
	l.items = l.items[1:]
	l.deficit = max(0, l.deficit-w.cost())
	l.charge(-w.cost())
	if len(l.items) == 0 {
		l.items, l.deficit = nil, 0
		for i, t := range q.turn {
			if t == l {
				copy(q.turn[i:], q.turn[i+1:])
				q.turn[len(q.turn)-1] = nil
				q.turn = q.turn[:len(q.turn)-1]
				break
			}
		}
		q.prune(l)
	}
	return w
}

// stale removes every update that waits since before then.
func (q *fairQueue) stale(then time.Time) (all []waitingUpdate) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := 0; i < len(q.turn); {
		l, before := q.turn[i], len(q.turn)
		for len(l.items) > 0 && l.items[0].since.Before(then) {
			all = append(all, q.take(l))
		}
		if len(q.turn) == before {
			i++
		}
	}
	return all
}

func (q *fairQueue) queued() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

func (q *fairQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.work.Broadcast()
	for _, l := range q.lanes {
		l.room.Broadcast()
	}
}

// dispatch hands updates to the backend in the order of the fair queue. While the backend is overloaded it offers the same
// update again after a pause, and refuses everything that has waited too long; so one client cannot make another's updates be
// refused by being there first, and nobody waits long for an answer.
func (g *Gateway) dispatch() {
	for {
		w, ok := g.fair.pop()
		if !ok {
			break
		}
		g.offer(w)
	}
	for _, w := range g.fair.stale(time.Now().Add(time.Hour)) {
		w.from.refuse(w.u.Seq, clientwire.Closing)
	}
}

func (g *Gateway) offer(w waitingUpdate) {
	var timer *time.Timer
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		err := g.backend.Submit(w.u)
		if !errors.Is(err, ErrOverloaded) {
			g.answer(w, err)
			return
		}
		then := time.Now().Add(-g.cfg.Patience)
		for _, old := range g.fair.stale(then) {
			g.answer(old, err)
		}
		if w.since.Before(then) {
			g.answer(w, err)
			return
		}
		if timer == nil {
			timer = time.NewTimer(pause)
			defer timer.Stop()
		} else {
			timer.Reset(pause)
		}
		select {
		case <-timer.C:
		case <-g.done:
			w.from.refuse(w.u.Seq, clientwire.Closing)
			return
		}
	}
}

// answer tells the client what the backend said, unless it took the update: then the result is the answer.
func (g *Gateway) answer(w waitingUpdate, err error) {
	switch {
	case err == nil:
		g.stats.submitted.Add(1)
	case errors.Is(err, ErrOverloaded):
		w.from.refuse(w.u.Seq, clientwire.Overloaded)
	case errors.Is(err, ErrOversized):
		w.from.refuse(w.u.Seq, clientwire.Oversized)
	case errors.Is(err, ErrClosed):
		w.from.refuse(w.u.Seq, clientwire.Closing)
	default:
		w.from.refuse(w.u.Seq, clientwire.Closing)
		g.log.warn("the replica did not take a client's update", "error", err)
	}
}
