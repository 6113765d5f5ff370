package node

import (
	"io"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/core/effect"
)

// due is a checkpoint that is to be made after an ordinal: what the replica itself knows there, beside the application.
type due struct {
	State     *effect.State
	Delivered uint64   // records up to there
	Digest    [32]byte // of the stream up to there
	Records   uint32   // of the ordinal itself
}

// at is the last record before the checkpoint.
func (d *due) at() app.Position { return app.Position{Ordinal: d.State.Ordinal, Index: d.Records} }

// landing is where the stream goes on although what was before was not delivered.
type landing struct {
	at   app.Position
	open func() (io.ReadCloser, error) // the application's snapshot as of it; nil if there is none
}

// base is where the records that are held begin, if no ordinal before them was delivered.
type base struct {
	ordinal uint64
	sum     [32]byte // digest of the stream up to it
}

// jump goes on after a checkpoint. What was held is of no use to anybody: whoever follows the stream misses what lies between. Only the
// goroutine that appends calls it.
func (r *Records) jump(d *due, open func() (io.ReadCloser, error)) {
	r.chain.Sum, r.delivered = d.Digest, d.Delivered
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.entries)
	r.entries, r.head, r.bytes = r.entries[:0], 0, 0
	r.last, r.tail, r.count = d.State.Ordinal, d.Records, d.Delivered
	r.base = base{r.last, d.Digest}
	b := &r.backlog
	b.taken, b.given, b.bytes, b.out, b.open = r.last, r.last, 0, 0, 0
	if !b.failed {
		b.behind, b.waits, b.until, b.jump = false, false, 0, &landing{d.at(), open}
	}
	r.wakeAll()
}
