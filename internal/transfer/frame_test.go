package transfer

import (
	"bytes"
	"testing"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// samples are frames of every kind.
func samples() []frame {
	return []frame{
		{kind: manifestAsk, session: 1, digest: wire.Digest{1}, wants: []uint32{0}},
		{kind: leavesAsk, session: 2, digest: wire.Digest{1}, wants: []uint32{0, 1}, drops: []uint32{7}},
		{kind: blockAsk, session: 1 << 60, digest: wire.Digest{1}, received: 77, wants: numbers(0, maxNumbers), spares: numbers(5, 9),
			drops: numbers(1, 3)},
		{kind: manifestIs, session: 4, manifest: blocks.Manifest{Ordinal: 3, BlockSize: 4096, HeadBytes: 1, TotalBytes: 5000}},
		{kind: leavesAre, session: 5, number: 3, path: make([]wire.Digest, 2), leaves: make([]wire.Digest, 5)},
		{kind: blockIs, session: 6, number: 9, block: []byte("block")},
		{kind: notHeld, session: 7},
	}
}

// TestFrames: every frame comes back as it was, has one encoding, fits, and no part of it is one.
func TestFrames(t *testing.T) {
	t.Parallel()
	for _, f := range samples() {
		b := f.append(nil)
		got, err := decode(b)
		if err != nil {
			t.Fatalf("kind %d: %v", f.kind, err)
		}
		if !bytes.Equal(got.append(nil), b) || got.kind != f.kind || got.session != f.session || got.number != f.number {
			t.Errorf("kind %d comes back as %+v", f.kind, got)
		}
		if len(b) > MaxFrame(4096) {
			t.Errorf("kind %d has %d bytes, MaxFrame is %d", f.kind, len(b), MaxFrame(4096))
		}
		if f.kind == blockIs || f.kind == leavesAre { // these may be shorter
			continue
		}
		for n := range len(b) {
			if _, err := decode(b[:n]); err == nil {
				t.Errorf("%d bytes of kind %d are a frame", n, f.kind)
			}
		}
	}
	largest := frame{kind: leavesAre, path: make([]wire.Digest, blocks.MaxPath), leaves: make([]wire.Digest, blocks.ChunkLeaves)}
	if n := len(largest.append(nil)); n > MaxFrame(blocks.MinSize) {
		t.Errorf("LEAVES has %d bytes, MaxFrame is %d", n, MaxFrame(blocks.MinSize))
	}
}

// FuzzFrame: decoding is total, and what is accepted has one encoding.
func FuzzFrame(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decode(b)
		if err == nil && !bytes.Equal(got.append(nil), b) {
			t.Fatalf("%+v has another encoding", got)
		}
	})
}

// FuzzMachines: whatever one replica sends to a fetcher and a server that are at work, neither panics, grows without limit, or takes
// anything wrong, and the transfer comes to its end.
func FuzzMachines(f *testing.F) {
	var seed []byte
	for _, s := range samples() {
		b := s.append(nil)
		seed = append(append(seed, byte(len(b)), byte(len(b)>>8)), b...)
	}
	f.Add(seed, uint8(3))
	app := state(1, 20*testBlock)
	f.Fuzz(func(t *testing.T, b []byte, every uint8) {
		r, target := newRig(t, 4, 1, Options{Strategy: Strategy(every & 1)}, app)
		r.fetcher.Start(r.now, target)
		r.liars[2] = silent
		events := 0
		r.step = func() {
			if events++; len(b) < 2 || events%(int(every)+1) != 0 {
				return
			}
			n := min(int(b[0])+int(b[1])<<8, len(b)-2)
			bytes := b[2 : 2+n]
			b = b[2+n:]
			fr, err := decode(bytes)
			if err != nil {
				r.fetcher.deliver(r.now, 2, nil, n)
				return
			}
			if !fr.kind.asks() {
				for _, session := range []uint64{fr.session, r.fetcher.session, r.fetcher.helpers[1].session} {
					fr.session = session
					r.fetcher.deliver(r.now, 2, &fr, n)
				}
				return
			}
			fr.digest = target.Digest
			for id := group.ID(3); id <= 4; id++ {
				r.servers[id].deliver(r.now, 2, &fr)
				if a := &r.servers[id].askers[1]; len(a.wants) > maxNumbers || len(a.spares) > maxNumbers {
					t.Fatal("a server remembers too much")
				}
			}
		}
		if took, done := r.run(1 << 40); !done {
			t.Fatalf("not complete after %v: %+v", took, r.fetcher.Progress(r.now))
		}
		r.finish(app)
	})
}
