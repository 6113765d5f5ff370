package bulk

import (
	"sync"
	"time"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/transfer"
)

// Lie is how a faulty process answers.
type Lie string

// The lies.
const (
	None   Lie = "none"
	Wrong  Lie = "wrong"  // every block has a wrong bit
	Digest Lie = "digest" // every manifest and every digest of a block
	Silent Lie = "silent" // no answer
	Slow   Lie = "slow"   // two answers a second
)

// Lies are all of them.
var Lies = []Lie{None, Wrong, Digest, Silent, Slow}

// slowEvery is between two answers of a slow process, and slowMost how many wait.
const (
	slowEvery = 500 * time.Millisecond
	slowMost  = 64
)

// liar is what a faulty process sends through.
type liar struct {
	node *node
	lie  Lie

	mu      sync.Mutex
	waiting []parcel // of a slow one
}

type parcel struct {
	to    group.ID
	frame []byte
}

// newLiar returns nil for an honest process.
func newLiar(n *node, lie Lie) *liar {
	if lie == None || lie == "" {
		return nil
	}
	return &liar{node: n, lie: lie}
}

func (l *liar) send(to group.ID, frame []byte) {
	what := transfer.Describe(frame)
	switch l.lie {
	case Wrong:
		if what == transfer.Block {
			frame[len(frame)-1] ^= 1
		}
	case Digest:
		if what == transfer.Manifest || what == transfer.Leaves {
			frame[len(frame)-1] ^= 1
		}
	case Silent:
		return
	case Slow:
		l.trickle(parcel{to, frame})
		return
	}
	l.node.send(to, frame)
}

// trickle lets answers leave one by one.
func (l *liar) trickle(p parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting = append(l.waiting, p); len(l.waiting) > slowMost {
		l.waiting = l.waiting[1:]
	}
	if len(l.waiting) == 1 {
		time.AfterFunc(slowEvery, l.next)
	}
}

func (l *liar) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.node.send(p.to, p.frame)
	if len(l.waiting) > 0 {
		time.AfterFunc(slowEvery, l.next)
	}
}
