package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/fault"
	"github.com/primebft/prime/storage/file"
)

// disk is what a durable replica of a world remembers: the log of package storage/file, with what package record writes, on a
// disk that tears, forgets and fills up. As in a real replica, promises and everything that the checkers hold a replica to wait
// until the inputs that they follow from are durable; questions, what others have signed, and what was executed leave at once.
type disk struct {
	fault  *fault.Disk
	log    *file.Log
	writer record.Writer
	rng    *rand.Rand

	waiting []owed           // of the steps whose inputs wait for the disk
	flight  []owed           // of those whose inputs are being written
	unseen  []owed           // of both, when the last life ended
	records []storage.Record // what is being written
	busy    bool
	images
	commits int // number of the commit under way, so that one of an earlier life is known

	steps  int      // inputs of the machine, those of earlier lives that it remembers included
	done   []uint64 // what each step said and executed that the checkers have seen, hashed
	shift  clock.Instant
	began  record.Began
	starts int
}

// owed is what a step asked for that waits for the disk, and what it said and executed, hashed.
type owed struct {
	out  effect.Output
	hash uint64
}

// segmentBytes is small, so that worlds have many segments.
const segmentBytes = 20_000

// diskPlan is what a seed fixes of a durable replica.
type diskPlan struct {
	write time.Duration // longest that a commit takes in the storm
	ready bool          // segments are made ready before they are needed
	falls []fall
	// For worlds that try every place where a replica can fall.
	points []point
	torn   uint64 // decides what losses of power leave; 0: the seed does
}

// fall is an end of a replica and its next start.
type fall struct {
	at, back clock.Instant
	full     bool // because its disk is full
	power    bool // the machine loses power, not only the process its life
}

// drawDisks makes every correct replica durable, and lets some, or all at once, fall and start again in the storm.
func drawDisks(rng *rand.Rand, p *plan) {
	p.disks = make([]diskPlan, len(p.replicas))
	write := choose(rng, 0, time.Millisecond, 10*time.Millisecond)
	often := choose(rng, 1, 1, 2, 5)
	var together clock.Instant
	if rng.IntN(3) == 0 {
		together = moment(rng, p.stormEnd/2)
	}
	if rng.IntN(4) > 0 && p.limits.CheckpointOrdinals == 0 {
		p.limits.CheckpointOrdinals = choose(rng, 1, 3, 10, 30)
		p.limits.HistoryBytes = 0 // or what comes after a checkpoint might not be kept
	}
	for i := range p.disks {
		d := &p.disks[i]
		d.write, d.ready = span(rng, 0, write), i%2 == 0
		at := clock.Instant(0)
		for range rng.IntN(often + 1) {
			at = at.Add(span(rng, time.Millisecond, time.Duration(p.stormEnd)/2))
			if together > 0 {
				at = max(at, together).Add(span(rng, 0, time.Millisecond))
			}
			f := fall{at: at, back: at.Add(span(rng, 0, choose(rng, time.Millisecond, 50*time.Millisecond, time.Second))),
				full: rng.IntN(8) == 0, power: rng.IntN(3) > 0}
			if f.back = min(f.back, p.stormEnd); f.at >= f.back {
				break
			}
			d.falls = append(d.falls, f)
			at = f.back
		}
	}
	if p.limits.CheckpointOrdinals > 0 && rng.IntN(4) == 0 {
		p.limits.CheckpointTime = choose(rng, 300*time.Millisecond, 2*time.Second)
	}
}

// newDisk gives a node its disk, and makes its machine.
func (w *world) newDisk(n *node, cfg core.Config) error {
	n.disk = &disk{rng: rand.New(rand.NewPCG(w.options.Seed, 200+uint64(n.id)))}
	n.disk.fault = fault.New(n.disk.rng)
	if torn := w.plan.disks[n.id.Index()].torn; torn != 0 {
		n.disk.fault = fault.New(rand.New(rand.NewPCG(torn, 200+uint64(n.id))))
	}
	n.disk.began = record.Began{Behaviour: core.Behaviour, Wall: cfg.Wall, Seed: cfg.Seed, Limits: cfg.Limits, Timing: cfg.Timing}
	for i, f := range w.plan.disks[n.id.Index()].falls {
		w.queue.push(event{at: f.at, kind: tumble, node: n.id, arg: i})
		w.queue.push(event{at: f.back, kind: rise, node: n.id, arg: i})
	}
	w.fuse(n)
	err := n.disk.open(w, n)
	for err != nil && n.disk.fault.PowerFailsAt > 0 && errors.Is(err, fault.ErrPower) { // before it was anybody
		n.disk.fault.Restart()
		w.fuse(n)
		w.restarts++
		err = n.disk.open(w, n)
	}
	return err
}

// open opens the log, and begins it if it is new.
func (d *disk) open(w *world, n *node) (err error) {
	o := file.Options{SegmentBytes: segmentBytes, Disk: d.fault, Note: func(c file.Cut) {
		w.note(w.now, fmt.Sprintf("loses the end of its log: %d bytes", c.Bytes), n.id, 0, nil)
	}}
	if w.plan.disks[n.id.Index()].ready {
		o.Prepare = func(work func()) { work() }
	}
	d.log, err = file.Open(n.id.String(), o)
	if err != nil {
		return err
	}
	var begun bool
	d.start, begun, err = record.Find(d.log, d.usable)
	if err == nil && !begun {
		err = d.log.Commit([]storage.Record{d.began.Record()})
	}
	d.forget()
	return err
}

// remember lets leave what may leave at once of what a step asked for, and keeps the rest until its input is durable.
func (w *world) remember(n *node, in core.Input, own bool) {
	d := n.disk
	d.writer.Input(n.local(w.now), in, n.out.Known, own)
	d.steps++
	d.asked(w.header[n.id.Index()], in, own, n)
	due := n.out.Deliver
	later := owed{hash: said(w.header[n.id.Index()], &n.out)}
	later.out.Evidence, later.out.Events = clone(n.out.Evidence), clone(n.out.Events)
	early := n.out.Sends[:0:0]
	for _, s := range n.out.Sends {
		if s.Msg == nil || !record.Binding(s.Msg.Kind()) {
			early = append(early, s)
		} else {
			later.out.Sends = append(later.out.Sends, s)
		}
	}
	d.waiting = append(d.waiting, later)
	n.out.Sends, n.out.Evidence, n.out.Events = early, nil, nil
	w.carryOut(n)
	if len(due) > 0 && due[len(due)-1].State != nil {
		w.image(n)
	}
	w.write(n)
}

func clone[T any](list []T) []T { return append([]T(nil), list...) }

// write begins a commit of what waits, unless one is under way.
func (w *world) write(n *node) {
	d := n.disk
	if d.busy || len(d.waiting) == 0 && len(d.parts) == 0 {
		return
	}
	d.busy, d.flight, d.waiting, d.records = true, d.waiting, nil, append(d.writer.Take(), d.parts[:min(1, len(d.parts))]...)
	d.commits++
	at := w.now
	if w.storm {
		at = at.Add(span(d.rng, 0, w.plan.disks[n.id.Index()].write))
	}
	w.queue.push(event{at: at, kind: synced, node: n.id, arg: d.commits})
}

// synced ends a commit: what waited for it happens now.
func (w *world) synced(n *node, e *event) {
	d := n.disk
	if e.arg != d.commits || !d.busy {
		return // of an earlier life
	}
	if err := d.log.Commit(d.records); err != nil {
		switch {
		case errors.Is(err, storage.ErrFull):
			w.fallen(n) // rather than forget what it signs
			return
		case w.powerless(n, err):
			return
		}
		w.fail("%s cannot write its log: %v", n.id, err)
		return
	}
	if w.imaged(n); n.crashed != clock.Never {
		return
	}
	flight := d.flight
	d.busy, d.flight, d.records = false, nil, nil
	for i := range flight {
		d.done = append(d.done, flight[i].hash)
		n.out = flight[i].out
		w.carryOut(n)
	}
	w.write(n)
}

// said hashes what a step promised and executed, but for acknowledgements that answer a peer's question: a log has no questions.
func said(h wire.Header, out *effect.Output) uint64 {
	sum := uint64(0)
	for i := range out.Sends {
		s := &out.Sends[i]
		if s.Msg != nil && record.Binding(s.Msg.Kind()) && (s.To.Has(h.Sender) || s.Msg.Kind() != wire.KindPreorderAck) {
			env := wire.NewEnvelope(h, s.Msg)
			sum = mix(env.Digest[:], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)})
		}
	}
	for i := range out.Deliver {
		sum = scramble(sum ^ out.Deliver[i].Ordinal<<8 ^ uint64(len(out.Deliver[i].Updates)))
	}
	return sum
}

// tumble ends a replica in the middle of what it does.
func (w *world) tumble(n *node, f *fall) {
	d := n.disk
	if f.full {
		d.fault.Room = d.rng.IntN(2000)
		return // the next commits find that out
	}
	if d.busy && d.rng.IntN(4) > 0 { // in the middle of the commit
		d.fault.PowerFailsAt = d.fault.Operations + 1 + d.rng.IntN(3)
		_ = d.log.Commit(d.records)
	}
	w.fallen(n)
	if f.power {
		d.fault.PowerOff()
	}
}

// fallen is the end of a life.
func (w *world) fallen(n *node) {
	d := n.disk
	n.crashed = w.now
	n.ends = append(n.ends, w.now)
	d.unseen = append(d.flight, d.waiting...)
	d.busy, d.waiting, d.flight, d.records = false, nil, nil, nil
	d.writer.Take()
	d.lost()
	n.forgotten()
	w.checkpoints.stable[n.id.Index()] = 0 // it may not remember; rise asks
	w.note(w.now, "falls", n.id, 0, nil)
}

// rise starts a replica again with what its disk remembers.
func (w *world) rise(n *node, f *fall) {
	d := n.disk
	d.fault.Room = -1
	if n.crashed == clock.Never {
		return // its disk was not full after all
	}
	if f.power || d.fault.PowerFailsAt > 0 {
		d.fault.PowerOff()
	}
	d.fault.Restart()
	w.fuse(n)
	w.note(w.now, "starts again", n.id, 0, nil)
	if err := d.open(w, n); err != nil {
		if w.powerless(n, err) {
			return
		}
		w.fail("%s cannot open its log: %v", n.id, err)
		return
	}
	n.crashed, n.armed, n.idle, n.at = clock.Never, clock.Never, 0, 0
	d.starts++
	w.restarts++
	if w.options.App != nil {
		n.app = w.options.App(int(n.id))
	}
	if err := w.replay(n); err != nil {
		w.fail("%s cannot continue: %v", n.id, err)
		return
	}
	// What its log says is stable it keeps, as before.
	stable := &w.checkpoints.stable[n.id.Index()]
	*stable = max(*stable, n.status().Stable)
}

// replay gives a new machine what the log has. What the checkers have seen of it must be the same again; what they have not seen
// yet, because the replica fell between the end of a commit and what waited for it, they see now.
func (w *world) replay(n *node) error {
	d := n.disk
	began, err := d.start.Began, error(nil)
	cfg := w.plan.config(n.id, w.ledger.incarnations)
	cfg.Wall, cfg.Seed, cfg.Limits, cfg.Timing = began.Wall, began.Seed, began.Limits, began.Timing
	if n.machine, err = w.machine(cfg); err != nil {
		return err
	}
	kept := map[updateKey]bool{}
	step := 0
	p := record.NewReplay(w.header[n.id.Index()], n.signer.Complete, w.wire.Decode, n.worker.Do)
	if d.start.Ordinal > 0 {
		if step, err = w.fromImage(n, p, kept); err != nil {
			return err
		}
	}
	err = p.Run(d.log, func(e record.Entry) error {
		for i := range e.Input.Submit {
			kept[updateKey{e.Input.Submit[i].Client, e.Input.Submit[i].Seq}] = true
		}
		w.stepping = n.id
		n.out.Reset()
		n.machine.Step(e.Now, e.Input, &n.out)
		w.stepping = 0
		p.Said(n.out.Sends, n.out.Jobs)
		hash := said(w.header[n.id.Index()], &n.out)
		if step < len(d.done) && d.done[step] != hash {
			return fmt.Errorf("step %d is not what it was", step+1)
		}
		w.again(n, step >= len(d.done))
		if step++; step > len(d.done) {
			d.done = append(d.done, hash)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if step < len(d.done) {
		return fmt.Errorf("%d of the %d inputs whose consequences were seen are not remembered", len(d.done)-step, len(d.done))
	}
	for key := range n.accepted {
		if !kept[key] {
			delete(n.accepted, key)
		}
	}
	d.steps, d.unseen = step, nil
	w.resume(n, p)
	return nil
}

// again deals with a step of a replay.
func (w *world) again(n *node, fresh bool) {
	binding := n.out.Sends[:0]
	for _, s := range n.out.Sends {
		if s.Msg != nil && record.Binding(s.Msg.Kind()) {
			binding = append(binding, s)
		}
	}
	n.out.Sends = binding
	if fresh {
		n.out.Refused = nil // nobody was told
		w.observe(n)
		w.sign(n)
		return
	}
	for i := range n.out.Deliver {
		w.deliver(n, &n.out.Deliver[i])
	}
}

// resume lets a replica go on: its clock stood still, its calendar did not.
func (w *world) resume(n *node, p *record.Replay) {
	n.disk.shift = 0
	whole := n.local(w.now)
	n.disk.shift = whole - p.Last() - 1
	resumed := &core.Resumed{Wall: calendar + int64(n.plan.skew) + int64(whole-n.plan.start) - int64(n.local(w.now)),
		Timing: n.plan.timing}
	// What may not have left is signed and sent, perhaps again. The checkers know it.
	n.out.Reset()
	for _, s := range p.Unsaid() {
		env := wire.NewEnvelope(w.header[n.id.Index()], n.signer.Complete(s.Msg))
		n.signer.Sign([]*wire.Envelope{env})
		n.signFree = max(n.signFree, w.now).Add(n.plan.signCost)
		w.note(w.now, "says again", n.id, 0, env)
		w.transmit(n, &s, env, n.signFree)
		n.disk.unsaid.Add(env.Digest, &s)
	}
	n.disk.jobs = append(n.disk.jobs, p.Undone()...)
	n.out.Jobs = append(n.out.Jobs, p.Undone()...)
	w.work(n)
	w.step(n, core.Input{Resumed: resumed})
}

// ended reports whether the life of a replica in which a message was to depart had ended by then.
func (n *node) ended(life int, departs clock.Instant) bool {
	if life < len(n.ends) {
		return n.ends[life] < departs
	}
	return n.crashed < departs
}

// diskOf handles the events of disks.
func (w *world) diskOf(n *node, e *event) {
	switch e.kind {
	case synced:
		w.synced(n, e)
	case tumble:
		w.tumble(n, &w.plan.disks[n.id.Index()].falls[e.arg])
	case rise:
		w.rise(n, &w.plan.disks[n.id.Index()].falls[e.arg])
	}
}

// durable reports whether a replica of this plan has a disk.
func (p *plan) durable(id group.ID) bool {
	return p.disks != nil && p.correct(id) && p.replicas[id.Index()].crash == clock.Never
}
