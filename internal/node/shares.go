package node

import (
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/trace"
	"github.com/primebft/prime/internal/wire"
)

// reasonShare is why a message is not given to the core.
const reasonShare trace.Reason = "more than its share of the log"

// shares is who has made the log as long as it is, by who brought the messages in it, so that no f replicas can fill it: whatever a peer
// makes up that is well-formed has to be remembered, and the log is shortened by execution alone, so that while nothing is ordered
// nothing would end a flood but the end of the disk.
//
// Once the log is half full, a peer that has brought more than its share since the beginning of what is still needed is not listened
// to, until a checkpoint has shortened the log. f shares are less than the half that such a peer could fill before.
type shares struct {
	most   int64                    // a peer's share in bytes; 0: no limit, because the log is never shortened
	total  [group.MaxReplicas]int64 // bytes of messages that each peer has brought
	before [group.MaxReplicas]int64 // of these, what is before the image that the log begins with
	said   group.Set                // people have been told of these
}

// share is how many bytes of a log of so many each peer may fill.
func share(limit int64, f int) int64 { return limit / int64(2*(f+1)) }

func (s *shares) add(by group.ID, bytes int) { s.total[by.Index()] += int64(bytes) }

// over reports whether a peer has brought more than its share.
func (s *shares) over(by group.ID) bool {
	i := by.Index()
	return s.most > 0 && s.total[i]-s.before[i] > s.most
}

// share limits what each of the peers, f of whom may lie, can make of the log; for a replica whose log checkpoints shorten.
func (j *journal) share(f int) {
	if j == nil || j.limit == 0 {
		return
	}
	j.mu.Lock()
	j.shares.most = share(j.limit, f)
	j.mu.Unlock()
	j.remeasure()
}

// refuses reports whether a message that a peer brings is not to be given to the core, because the log has no room for more of it.
func (j *journal) refuses(by group.ID) bool {
	if j == nil || !j.crowded.Load() {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.shares.over(by) {
		return false
	}
	if !j.shares.said.Has(by) {
		j.shares.said = j.shares.said.With(by)
		j.say.Warn("the log is half full, and a replica has sent more than its share of that; nothing is taken from it until a checkpoint "+
			"has shortened the log. If nobody else is in the same case, it is faulty", "replica", by.String())
	}
	return true
}

// remembers counts what was brought before this start. By whom is not known any more, so its signer stands for that.
func (j *journal) remembers(env *wire.Envelope) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.shares.add(env.Sender, inputOverhead+len(env.Raw))
}

// measure finds out whether the log, with what waits for it, is so long that what peers bring is limited. The caller holds the lock.
func (j *journal) measure() {
	j.crowded.Store(j.shares.most > 0 && j.length+int64(j.bytes) > j.limit/2)
}

// remeasure looks how long the log is when nothing is being written to it.
func (j *journal) remeasure() {
	length := j.log.Extent().Bytes
	j.mu.Lock()
	defer j.mu.Unlock()
	j.length = length
	j.measure()
}
