package record

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/wire"
	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/fault"
	"github.com/primebft/prime/storage/file"
)

// shortLog is a log with a limit, and a core to take images of.
type shortLog struct {
	t     *testing.T
	o     file.Options
	log   *file.Log
	began Began
	core  *core.Replica
	at    clock.Instant
}

// pieceBytes is how large a part of an image is here, and segmentBytes a segment: an image goes through several.
const (
	pieceBytes   = 300
	segmentBytes = 1000
)

func newShortLog(t *testing.T, limit int64) *shortLog {
	t.Helper()
	cfg := core.Config{Self: 1, Group: g, Epoch: 1, Incarnations: slices.Repeat([]uint32{1}, 4), Wall: int64(time.Hour),
		Limits: core.Limits{UpdateBytes: 300, RequestBytes: 3000, RequestUpdates: 16, InFlight: 4, PendingBytes: 1 << 16, Sessions: 4,
			SessionWindow: 64, OrdinalWindow: 4, History: 8},
		Timing: core.Timing{Retransmit: time.Second, Fetch: 20 * time.Millisecond}}
	c, err := core.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := &shortLog{t: t, core: c, o: file.Options{SegmentBytes: segmentBytes, MaxBytes: limit, Disk: fault.New(rand.New(rand.NewPCG(1, 1)))},
		began: Began{Behaviour: core.Behaviour, Wall: cfg.Wall, Limits: cfg.Limits, Timing: cfg.Timing}}
	l.open()
	if err := l.log.Commit([]storage.Record{l.began.Record()}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *shortLog) open() {
	l.t.Helper()
	var err error
	if l.log, err = file.Open("log", l.o); err != nil {
		l.t.Fatal(err)
	}
}

// input commits one input.
func (l *shortLog) input() error {
	var w Writer
	l.at++
	w.Input(l.at, core.Input{Message: raw(strings.Repeat("m", 200))}, false, false)
	return l.log.Commit(w.Take())
}

// image commits the first parts of an image, all but the last few.
func (l *shortLog) image(ordinal uint64, missing int) (from uint64) {
	l.t.Helper()
	i, ok, err := Take(l.began, l.core, header, l.at, nil, nil)
	if err != nil || !ok {
		l.t.Fatal(ok, err)
	}
	i.Ordinal, i.From = ordinal, l.log.Extent().Next
	parts := i.Parts(pieceBytes)
	if len(parts) < 8 {
		l.t.Fatalf("only %d parts", len(parts))
	}
	for _, p := range parts[:len(parts)-missing] {
		if err := l.log.Commit([]storage.Record{p}); err != nil {
			l.t.Fatal(err)
		}
		if err := l.input(); err != nil { // inputs come between the parts
			l.t.Fatal(err)
		}
	}
	return i.From
}

// find looks for the beginning after the log was closed and opened again.
func (l *shortLog) find(usable ...uint64) (Start, error) {
	l.t.Helper()
	if err := l.log.Close(); err != nil {
		l.t.Fatal(err)
	}
	l.open()
	s, begun, err := Find(l.log, func(ordinal uint64) bool { return slices.Contains(usable, ordinal) })
	if !begun {
		l.t.Fatal("the log is said to be empty")
	}
	return s, err
}

// TestFullLog: a log that reaches its limit in the middle of an image goes on from the one before it, wherever dropping was interrupted;
// dropping makes room, and then the next image replaces that one.
func TestFullLog(t *testing.T) {
	t.Parallel()
	l := newShortLog(t, 60_000)
	for range 120 {
		if err := l.input(); err != nil {
			t.Fatal(err)
		}
	}
	from := l.image(8, 0)
	l.image(16, 3)
	var err error
	for range 1000 {
		if err = l.input(); err != nil {
			break
		}
	}
	if !errors.Is(err, storage.ErrFull) {
		t.Fatalf("the log is to be full: %v, %+v", err, l.log.Extent())
	}
	if s, err := l.find(); err != nil || s.Ordinal != 0 || s.From != 2 {
		t.Errorf("the application has no state, and the beginning is there: begins at record %d, ordinal %d, %v", s.From, s.Ordinal, err)
	}
	for below := uint64(1); below <= from; below++ {
		if err := l.log.Drop(below); err != nil {
			t.Fatal(err)
		}
		s, err := l.find(8, 16)
		if err != nil || s.Ordinal != 8 || s.From != from || s.Began != l.began {
			t.Fatalf("what is before record %d is dropped: begins at record %d, ordinal %d, %+v, %v", below, s.From, s.Ordinal, s.Began, err)
		}
		if _, err := s.Core(wire.Limits{N: 4}); err != nil {
			t.Fatal(err)
		}
	}
	if l.log.Extent().First < 100 {
		t.Fatalf("nothing was dropped: %+v", l.log.Extent())
	}
	if _, err := l.find(16); !errors.Is(err, ErrOther) {
		t.Errorf("there is neither the beginning nor an image with a state: %v", err)
	}
	if err := l.input(); err != nil {
		t.Fatalf("dropping makes room: %v", err)
	}
	last := l.image(24, 0)
	if s, err := l.find(8, 24); err != nil || s.Ordinal != 24 || s.From != last {
		t.Errorf("begins at record %d, ordinal %d, %v", s.From, s.Ordinal, err)
	}
	if s, err := l.find(8); err != nil || s.Ordinal != 8 || s.From != from {
		t.Errorf("the state of the newer one is not there: begins at record %d, ordinal %d, %v", s.From, s.Ordinal, err)
	}
	if err := l.log.Drop(last); err != nil {
		t.Fatal(err)
	}
	if s, err := l.find(8, 24); err != nil || s.Ordinal != 24 {
		t.Errorf("ordinal %d, %v", s.Ordinal, err)
	}
	if _, err := l.find(8); !errors.Is(err, ErrOther) { // its inputs are gone, even if parts of it were not
		t.Errorf("an image whose inputs were dropped is used: %v", err)
	}
}
