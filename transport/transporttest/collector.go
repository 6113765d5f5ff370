package transporttest

import (
	"sync"
	"testing"
	"time"

	"github.com/primebft/prime/transport"
)

// patience is how long a condition may take to come true. It is generous because machines freeze; a condition that holds is
// noticed at once.
const patience = 30 * time.Second

// arrival is a frame that was delivered.
type arrival struct {
	from  int
	class transport.Class
	bytes []byte
}

// collector is a handler that keeps what arrives, and can be made to block.
type collector struct {
	mu       sync.Mutex
	changed  *sync.Cond
	arrived  []arrival
	blocked  map[arrivalKind]bool
	waiting  map[arrivalKind]bool // a call is held up
	inside   map[arrivalKind]int  // calls under way
	overlaps int                  // calls that began while another of the same kind was under way
	ended    bool
}

// arrivalKind is what the handler is called from one goroutine for.
type arrivalKind struct {
	from  int
	class transport.Class
}

func newCollector() *collector {
	c := &collector{blocked: map[arrivalKind]bool{}, waiting: map[arrivalKind]bool{}, inside: map[arrivalKind]int{}}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// handle is a transport.Handler.
func (c *collector) handle(from int, class transport.Class, bytes []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := arrivalKind{from, class}
	if c.inside[k]++; c.inside[k] > 1 {
		c.overlaps++
	}
	for c.blocked[k] && !c.ended {
		c.waiting[k] = true
		c.changed.Broadcast()
		c.changed.Wait()
	}
	c.waiting[k] = false
	c.inside[k]--
	c.arrived = append(c.arrived, arrival{from, class, bytes})
	c.changed.Broadcast()
}

// block makes the handler hold up frames of a peer and class, or lets them go.
func (c *collector) block(from int, class transport.Class, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked[arrivalKind{from, class}] = on
	c.changed.Broadcast()
}

// end lets everything go for good, so that the transport can be closed.
func (c *collector) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.changed.Broadcast()
}

// wait waits until done holds of what has arrived. done is called with the collector locked.
func (c *collector) wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		late = true
		c.changed.Broadcast()
	})
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !done() {
		if late {
			t.Fatalf("waited in vain for %s; %d frames have arrived", what, len(c.arrived))
		}
		c.changed.Wait()
	}
}

// waitBlocked waits until a call of the handler is held up.
func (c *collector) waitBlocked(t *testing.T, from int, class transport.Class) {
	t.Helper()
	c.wait(t, "a frame to be held up", func() bool { return c.waiting[arrivalKind{from, class}] })
}

// count is how many frames match. The collector must be locked.
func (c *collector) count(match func(arrival) bool) int {
	n := 0
	for _, a := range c.arrived {
		if match(a) {
			n++
		}
	}
	return n
}

// take returns what has arrived and forgets it.
func (c *collector) take() []arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.arrived
	c.arrived = nil
	return all
}

// Eventually waits until a condition holds that nothing announces.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
