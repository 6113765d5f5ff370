package wan

import (
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
)

// Sizes on the wire, bytes: what IPv4 and UDP add to each packet, what a packet carries beside that, and all of it.
const (
	headerBytes  = 28
	payloadBytes = 1472
	packetBytes  = headerBytes + payloadBytes
)

// WireBytes is what a packet of size bytes, or a frame that takes several packets, uses of a bottleneck.
func WireBytes(size int) int { return size + headerBytes*max(1, (size+payloadBytes-1)/payloadBytes) }

// The parts of a bottleneck, per cent, that RECON and BULK are certain of, as in the scheduler with the share of the wan preset.
const (
	reconFloor = 30
	bulkFloor  = 5
)

// floorOf is the floor of a lane that has one.
func floorOf(lane int) int {
	if lane == laneOf(wire.Recon, false) {
		return reconFloor
	}
	return bulkFloor
}

// maxAhead is how many bytes may wait, whatever the rate, so that times can be computed.
const maxAhead = 1 << 30

// frame is a packet on its way.
type frame[P any] struct {
	to    int
	lane  int
	size  int
	whole bool  // a part of a stream: it is not lost
	left  int   // bytes that the bottleneck has yet to transmit
	rate  Rate  // of that bottleneck, when the frame was offered
	link  *Link // as it was when the frame was offered
	what  P
}

// bottleneck transmits frames at a rate. Its owner calls step whenever the time that next returns has come.
type bottleneck[P any] struct {
	queues  [lanes]fifo[frame[P]]
	backlog [lanes]int // bytes of the frames in queues that have yet to be transmitted
	credit  [lanes]int // RECON and BULK: bytes of their floor that they have saved up while waiting
	waiting int        // frames in queues
	busy    bool       // leaving departs at free
	leaving frame[P]
	free    clock.Instant // when the next packet may begin
	finish  clock.Instant // when all that was transmitted would be through without Burst: the virtual finish time
	carry   int64         // parts of a nanosecond, in 1/rate, by which finish is too early
	rate    int64         // that carry belongs to
}

// idle reports whether a frame that comes now finds nobody before it.
func (b *bottleneck[P]) idle() bool { return !b.busy && b.waiting == 0 }

// next is when step should be called; Never if there is nothing to do.
func (b *bottleneck[P]) next() clock.Instant {
	if b.idle() {
		return clock.Never
	}
	return b.free
}

// offer queues a frame that comes now, unless it would wait too long. Everything that is due by now must have been done.
func (b *bottleneck[P]) offer(now clock.Instant, f frame[P], r Rate) bool {
	f.rate, f.left = r, WireBytes(f.size)
	i := f.lane
	ahead := b.ahead(i)
	if ahead > maxAhead {
		return false
	}
	wait := max(0, b.free.Sub(now))
	if r.Bits > 0 {
		wait += time.Duration(int64(ahead) * 8e9 / r.Bits)
	}
	if wait > r.queue() {
		return false
	}
	if b.idle() {
		b.free = max(b.free, now)
	}
	b.queues[i].push(f)
	b.backlog[i] += f.left
	b.waiting++
	return true
}

// ahead is how many bytes are transmitted before a frame of a lane that comes now, if nothing more urgent comes later. A lane with
// a floor waits for the others only as long as its floor needs for its own.
func (b *bottleneck[P]) ahead(lane int) int {
	sum := 0
	for _, bytes := range b.backlog[:lane+1] {
		sum += bytes
	}
	if repair(lane) {
		sum = min(sum, 100*b.backlog[lane]/floorOf(lane))
	}
	return sum
}

// step does what is due at next, and returns the frame that departs then, if one does.
func (b *bottleneck[P]) step() (f frame[P], departs bool) {
	if b.busy {
		f, b.leaving, b.busy = b.leaving, frame[P]{}, false
		return f, true
	}
	i := b.choose()
	head := b.queues[i].head()
	n := head.left
	if head.rate.Bits > 0 {
		n = min(n, packetBytes)
	}
	b.charge(i, n)
	b.transmit(n, &head.rate)
	head.left -= n
	b.backlog[i] -= n
	if head.left == 0 {
		b.leaving, b.busy = b.queues[i].pop(), true
		b.waiting--
	}
	return f, false
}

// transmit moves the virtual finish time on by n bytes, and with it the beginning of the next packet.
func (b *bottleneck[P]) transmit(n int, r *Rate) {
	now := b.free
	if b.finish < now || b.rate != r.Bits {
		b.finish, b.carry, b.rate = max(b.finish, now), 0, r.Bits
	}
	if r.Bits == 0 {
		return
	}
	parts := int64(n)*8e9 + b.carry
	b.finish = b.finish.Add(time.Duration(parts / r.Bits))
	b.carry = parts % r.Bits
	b.free = max(now, b.finish.Add(-time.Duration(int64(r.Burst)*8e9/r.Bits)))
}

// choose is the lane that transmits next: strict priority, but for the floor of RECON and BULK.
func (b *bottleneck[P]) choose() int {
	first := -1
	for i := range b.queues {
		if b.queues[i].empty() {
			continue
		}
		if first < 0 {
			first = i
		}
		if repair(i) && b.credit[i] >= min(b.queues[i].head().left, packetBytes) {
			return i
		}
	}
	return first
}

// charge notes that n bytes of a lane are transmitted, while others wait.
func (b *bottleneck[P]) charge(lane, n int) {
	for i := range b.queues {
		switch {
		case !repair(i):
		case i == lane:
			b.credit[i] = max(0, b.credit[i]-n)
		case b.queues[i].empty():
			b.credit[i] = 0
		default:
			floor := floorOf(i)
			b.credit[i] = min(b.credit[i]+(n*floor+99-floor)/(100-floor), 2*packetBytes)
		}
	}
}

// lanes are the queues of a bottleneck: one for each class, and after that of BOUNDED one for its frames that yield.
const lanes = wire.Classes + 1

// laneOf is the lane of a frame.
func laneOf(class wire.Class, yields bool) int {
	if class > wire.Bounded || class == wire.Bounded && yields {
		return int(class)
	}
	return int(class) - 1
}

// repair reports whether a lane is of a class that has a floor.
func repair(lane int) bool { return lane >= laneOf(wire.Recon, false) }

// fifo is a queue that reuses its memory.
type fifo[T any] struct {
	items []T
	first int
}

func (q *fifo[T]) empty() bool { return q.first == len(q.items) }
func (q *fifo[T]) head() *T    { return &q.items[q.first] }
func (q *fifo[T]) push(v T)    { q.items = append(q.items, v) }

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.first]
	q.items[q.first] = zero
	q.first++
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	} else if q.first >= 64 && 2*q.first >= len(q.items) {
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	return v
}
