package sim

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/record"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
)

// images is the part of a replica's disk that shortens its log: images of the core, and the application's states that belong to them.
type images struct {
	start  record.Start // where this life began
	unsaid record.Awaited[wire.Digest]
	jobs   []effect.Job
	taken  *record.Image // that is being written
	parts  []storage.Record
	whole  map[uint64]uint64 // images on disk: the record that a start goes on with, by ordinal
	states map[uint64]*kept  // of the application, by ordinal
	since  int               // bytes of inputs since the last image was taken
	size   int               // of that image
}

// kept is what belongs to an image besides.
type kept struct {
	state    []byte
	durable  bool
	step     int                // of the replica, after which the image was taken
	accepted map[updateKey]bool // updates that it had taken by then
}

// partBytes is small, so that a commit may fall between the parts of an image.
const partBytes = 20_000

// forget begins a life.
func (d *disk) forget() {
	d.unsaid, d.jobs, d.taken, d.parts = record.NewAwaited[wire.Digest](), nil, nil, nil
	if d.states == nil {
		d.states = map[uint64]*kept{}
	}
	d.whole, d.since, d.size = map[uint64]uint64{}, 0, 0
	if d.start.Ordinal > 0 {
		d.whole[d.start.Ordinal] = d.start.From
	}
}

// lost ends a life: states of the application that were not on disk are gone.
func (d *disk) lost() {
	maps.DeleteFunc(d.states, func(_ uint64, k *kept) bool { return !k.durable })
}

// usable reports whether the application's state as of an ordinal is on disk.
func (d *disk) usable(ordinal uint64) bool {
	return d.states[ordinal] != nil && d.states[ordinal].durable
}

// asked notes what a step asked for and what came back to it.
func (d *disk) asked(h wire.Header, in core.Input, own bool, n *node) {
	if own {
		d.unsaid.Take(in.Message.Digest)
	}
	if in.Done != nil {
		d.jobs = slices.DeleteFunc(d.jobs, func(j effect.Job) bool {
			return j.ID == in.Done.ID && j.To == in.Done.To && j.Request == in.Done.Request && slices.Equal(j.Parts, in.Done.Parts)
		})
	}
	for i := range n.out.Sends {
		if s := &n.out.Sends[i]; s.Msg != nil && s.To.Has(n.id) {
			d.unsaid.Add(wire.NewEnvelope(h, n.signer.Complete(s.Msg)).Digest, s)
		}
	}
	d.jobs = append(d.jobs, n.out.Jobs...)
}

// image takes an image of a replica's core after a step in which a checkpoint became due, and the state of its application.
func (w *world) image(n *node) {
	d := n.disk
	replica, ok := n.machine.(*core.Replica)
	if !ok || d.taken != nil || d.since < d.size/8 { // so few inputs do not need one
		return
	}
	k := &kept{durable: d.rng.IntN(2) == 0, step: d.steps, accepted: maps.Clone(n.accepted)}
	if n.app != nil {
		s, ok := n.app.(app.Snapshotter)
		if !ok {
			return
		}
		snapshot, err := s.Snapshot()
		if err == nil {
			var b bytes.Buffer
			_, err = snapshot.WriteTo(&b)
			snapshot.Release()
			k.state = b.Bytes()
		}
		if err != nil {
			w.fail("%s's application has no snapshot: %v", n.id, err)
			return
		}
	}
	taken, ok, err := record.Take(d.began, replica, w.header[n.id.Index()], n.local(w.now), d.unsaid.Sends(), d.jobs)
	switch {
	case err != nil:
		w.fail("no image of %s can be taken: %v", n.id, err)
	case ok && taken.Ordinal != n.at:
		w.fail("a checkpoint is due at %s after ordinal %d, and its core has executed %d", n.id, n.at, taken.Ordinal)
	case ok:
		taken.From = d.log.Extent().Next + uint64(len(d.records)+d.writer.Cut())
		d.taken, d.parts, d.since, d.size = taken, taken.Parts(partBytes), 0, taken.Size()
		d.states[taken.Ordinal] = k
		w.images++
	}
}

// imaged goes on with images after a commit.
func (w *world) imaged(n *node) {
	d := n.disk
	for i := range d.records {
		d.since += len(d.records[i].Data)
	}
	if last := len(d.records) - 1; len(d.parts) > 0 && last >= 0 && &d.records[last].Data[0] == &d.parts[0].Data[0] {
		if d.parts = d.parts[1:]; len(d.parts) == 0 {
			d.whole[d.taken.Ordinal] = d.taken.From
			d.taken = nil
		}
	}
	for _, ordinal := range slices.Sorted(maps.Keys(d.states)) {
		if k := d.states[ordinal]; !k.durable && d.rng.IntN(3) == 0 {
			k.durable = true
		}
	}
	if err := w.shorten(n); err != nil && !w.powerless(n, err) {
		w.fail("%s cannot shorten its log: %v", n.id, err)
	}
}

// shorten drops what is before the newest image that a start can go on from.
func (w *world) shorten(n *node) error {
	d := n.disk
	for _, ordinal := range slices.Backward(slices.Sorted(maps.Keys(d.whole))) {
		if !d.usable(ordinal) {
			continue
		}
		maps.DeleteFunc(d.states, func(other uint64, _ *kept) bool { return other < ordinal })
		maps.DeleteFunc(d.whole, func(other, _ uint64) bool { return other < ordinal })
		before := d.log.Extent().First
		err := d.log.Drop(d.whole[ordinal])
		if d.log.Extent().First > before {
			w.note(w.now, fmt.Sprintf("drops what was before ordinal %d", ordinal), n.id, 0, nil)
			w.drops++
		}
		return err
	}
	return nil
}

// fromImage lets a new machine begin with the image that its log has, and its application with the state of it. It returns the step
// after which that was taken.
func (w *world) fromImage(n *node, p *record.Replay, accepted map[updateKey]bool) (int, error) {
	d := n.disk
	k, before := d.states[d.start.Ordinal], (*record.Kept)(nil)
	before, err := d.start.Core(w.wire)
	if err != nil {
		return 0, err
	}
	replica, ok := n.machine.(*core.Replica)
	if !ok {
		return 0, errors.New("it is no core that an image was taken of")
	}
	*replica = *before.Core
	p.After(&d.start, before)
	n.at = d.start.Ordinal
	maps.Copy(accepted, k.accepted)
	if n.app != nil {
		if err := n.app.(app.Snapshotter).Restore(bytes.NewReader(k.state)); err != nil {
			return 0, err
		}
	}
	// An image may be there whole although the commit that it was in did not end: what was asked for before it was taken is not
	// executed again, and the checkers see it now.
	for len(d.done) < k.step {
		if len(d.unseen) == 0 {
			return 0, fmt.Errorf("its image has seen %d inputs, more than it was given", k.step)
		}
		d.done, n.out, d.unseen = append(d.done, d.unseen[0].hash), d.unseen[0].out, d.unseen[1:]
		w.again(n, true)
	}
	w.note(w.now, fmt.Sprintf("goes on after ordinal %d", n.at), n.id, 0, nil)
	w.reborn++
	return k.step, nil
}
