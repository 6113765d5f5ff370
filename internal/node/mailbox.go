package node

import "sync"

// mailbox passes items from any goroutine to one that takes all of them at once. It does not bound itself: its users ask
// for its weight and hold back whoever causes new items, so that one replica's goroutines can never wait for each other in
// a circle. Memory is kept and swapped between the two sides.
type mailbox[T any] struct {
	ready chan struct{} // has a token when there may be something to take

	mu     sync.Mutex
	items  []T
	weight int // sum over items of what their senders said; bytes or a count
	shut   bool
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{ready: make(chan struct{}, 1)} }

// put adds items that weigh so much together.
func (m *mailbox[T]) put(weight int, items ...T) {
	m.mu.Lock()
	m.items = append(m.items, items...)
	m.weight += weight
	m.mu.Unlock()
	wake(m.ready)
}

// offer adds an item unless the mailbox is shut or would then weigh more than limit.
func (m *mailbox[T]) offer(item T, weight, limit int) (added, open bool) {
	m.mu.Lock()
	open = !m.shut
	if added = open && m.weight+weight <= limit; added {
		m.items = append(m.items, item)
		m.weight += weight
	}
	m.mu.Unlock()
	if added {
		wake(m.ready)
	}
	return added, open
}

// close makes offer refuse everything. What is in the mailbox can still be taken.
func (m *mailbox[T]) close() {
	m.mu.Lock()
	m.shut = true
	m.mu.Unlock()
}

// take returns everything, in order, and its weight, and keeps spare as memory for what comes next. The caller gives the
// slice back as the spare of a later take when it has finished with it.
func (m *mailbox[T]) take(spare []T) ([]T, int) {
	clear(spare)
	m.mu.Lock()
	items, weight := m.items, m.weight
	m.items, m.weight = spare[:0], 0
	m.mu.Unlock()
	return items, weight
}

// load is how many items wait and what they weigh.
func (m *mailbox[T]) load() (items, weight int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.items), m.weight
}

// wake leaves a token in a channel of capacity one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
