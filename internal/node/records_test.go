package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// delivery is an ordinal with so many updates of so many bytes each.
func delivery(ordinal uint64, updates, size int) *effect.Delivery {
	d := &effect.Delivery{Ordinal: ordinal, Time: int64(ordinal) * 1000}
	for i := range updates {
		payload := make([]byte, size)
		for j := range payload {
			payload[j] = byte(int(ordinal) + i + j)
		}
		d.Updates = append(d.Updates, wire.Update{Client: wire.ClientID{byte(i + 1)}, Seq: ordinal, Payload: payload})
		d.Origins = append(d.Origins, group.FromIndex(i%4))
	}
	return d
}

// TestRecordsFields: a delivery becomes records that an application can check to be complete.
func TestRecordsFields(t *testing.T) {
	t.Parallel()
	r := newRecords(1, 7, 1<<20, 1<<20)
	d := delivery(1, 3, 5)
	r.append(d)
	r.append(delivery(2, 0, 0))
	got, err := r.Next(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 {
		t.Fatalf("%d records, want 3 and a no-op", len(got))
	}
	for i, rec := range got[:3] {
		want := app.Record{Epoch: 7, Ordinal: 1, Index: uint32(i + 1), Total: 3, Origin: i + 1, Client: d.Updates[i].Client,
			Seq: 1, Time: 1000, Payload: d.Updates[i].Payload}
		if fmt.Sprint(rec) != fmt.Sprint(want) {
			t.Errorf("record %d is %v, want %v", i, rec, want)
		}
	}
	want := app.Record{Epoch: 7, Ordinal: 2, Index: 1, Total: 1, Time: 2000}
	if !got[3].NoOp() || fmt.Sprint(got[3]) != fmt.Sprint(want) {
		t.Errorf("no-op is %v, want %v", got[3], want)
	}
	var chain app.Chain
	for _, rec := range got {
		chain.Add(rec)
	}
	if p := r.Position(); p.Digest != chain.Sum || p.Ordinal != 2 || p.Count != 4 {
		t.Errorf("position %+v, want ordinal 2, 4 records, digest %x", p, chain.Sum)
	}
	d.Updates[0].Payload[0] ^= 0xff // the message that the update came in is no longer needed
	if got[0].Payload[0] == d.Updates[0].Payload[0] {
		t.Error("records share memory with the message")
	}
}

// takeAll lets the application deal with what it is to be given, up to an ordinal at least.
func takeAll(r *Records, ordinal uint64) {
	var next turn
	for r.app().taken < ordinal && r.nextForApp(nil, &next) {
		r.ack(next.batch[len(next.batch)-1].Ordinal)
	}
}

// TestRecordsBudget: memory is bounded whatever arrives, and asking for what is gone names the oldest.
func TestRecordsBudget(t *testing.T) {
	t.Parallel()
	const keep = 10_000
	r := newRecords(1, 1, keep, 1<<20)
	for o := uint64(1); o <= 1000; o++ {
		r.append(delivery(o, int(o%5), 100))
		takeAll(r, o)
		if r.bytes > keep {
			t.Fatalf("ordinal %d: %d bytes held, budget %d", o, r.bytes, keep)
		}
	}
	oldest := r.Oldest()
	if oldest < 900 || oldest > 1000 {
		t.Errorf("oldest held is %d", oldest)
	}
	_, err := r.Next(t.Context(), 5)
	if !errors.Is(err, ErrRecordsGone) || !strings.Contains(err.Error(), fmt.Sprint("oldest held is ", oldest)) {
		t.Errorf("%v, want ErrRecordsGone naming %d", err, oldest)
	}
	next := oldest
	for next <= 1000 {
		got, err := r.Next(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		for i, rec := range got {
			if i > 0 && rec.Index == 1 {
				next++
			}
			if rec.Ordinal != next {
				t.Fatalf("record of ordinal %d, want %d", rec.Ordinal, next)
			}
		}
		next++
	}
	if _, ok := r.DigestAt(oldest - 1); ok {
		t.Error("a digest of an ordinal that is gone")
	}
	if d, ok := r.DigestAt(1000); !ok || d != r.Position().Digest {
		t.Error("digest at the last ordinal is not that of the position")
	}
}

// TestRecordsWait: a watcher waits for what is not there yet, and is woken by records, its context, and the end.
func TestRecordsWait(t *testing.T) {
	t.Parallel()
	r := newRecords(1, 1, 1<<20, 1<<20)
	r.append(delivery(1, 1, 1))
	type outcome struct {
		records []app.Record
		err     error
	}
	next := func(ctx context.Context, from uint64) <-chan outcome {
		c := make(chan outcome, 1)
		go func() {
			got, err := r.Next(ctx, from)
			c <- outcome{got, err}
		}()
		return c
	}
	third := next(t.Context(), 3)
	r.append(delivery(2, 1, 1))
	r.append(delivery(3, 2, 1))
	if o := <-third; o.err != nil || len(o.records) != 2 || o.records[0].Ordinal != 3 {
		t.Errorf("%v, want the two records of ordinal 3", o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := next(ctx, 0)
	cancel()
	if o := <-cancelled; !errors.Is(o.err, context.Canceled) {
		t.Errorf("%v, want the context's error", o.err)
	}
	ended := next(t.Context(), 4)
	r.close()
	if o := <-ended; !errors.Is(o.err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", o.err)
	}
	if o := <-next(t.Context(), 3); o.err != nil || len(o.records) != 2 {
		t.Errorf("%v: what is held can be read after the end", o)
	}
}

// TestRecordsBehind: an application that does not keep up gets what was kept for it, then no more, and watchers go on.
func TestRecordsBehind(t *testing.T) {
	t.Parallel()
	const deliverBytes = 5000
	r := newRecords(1, 1, 1000, deliverBytes)
	for o := uint64(1); o <= 120; o++ {
		r.append(delivery(o, 1, 100))
	}
	b := r.app()
	if !b.behind || b.until == 0 || b.missed != 120-b.until || b.bytes > behindFactor*deliverBytes {
		t.Fatalf("backlog %+v", b)
	}
	next := uint64(1)
	var t1 turn
	for r.nextForApp(nil, &t1) {
		for _, rec := range t1.batch {
			if rec.Ordinal != next {
				t.Fatalf("the application got ordinal %d, want %d", rec.Ordinal, next)
			}
			next++
		}
		r.ack(next - 1)
	}
	if next != b.until+1 {
		t.Errorf("the application got up to %d, want %d", next-1, b.until)
	}
	if r.bytes > 1000 {
		t.Errorf("%d bytes held when the application has taken what it gets", r.bytes)
	}
	if got, err := r.Next(t.Context(), 120); err != nil || got[0].Ordinal != 120 {
		t.Errorf("watcher: %v, %v", got, err)
	}
	if b := r.app(); b.bytes != 0 {
		t.Errorf("%d bytes of backlog left", b.bytes)
	}
}

// TestRecordsGiveUp: after an application has failed nothing is kept for it, and what it missed is counted.
func TestRecordsGiveUp(t *testing.T) {
	t.Parallel()
	r := newRecords(1, 1, 1000, 1<<20)
	for o := uint64(1); o <= 50; o++ {
		r.append(delivery(o, 2, 100))
		if o == 10 {
			takeAll(r, 10)
		}
	}
	var open turn
	r.nextForApp(nil, &open) // it fails with that
	r.giveUp()
	if b := r.app(); b.bytes != 0 || b.missed != 80 {
		t.Errorf("backlog %+v, want nothing kept and 80 records missed", b)
	}
	if r.bytes > 1000 {
		t.Errorf("%d bytes held", r.bytes)
	}
	if r.nextForApp(nil, new(turn)) {
		t.Error("a failed application is given records")
	}
	r.append(delivery(51, 2, 100))
	if b := r.app(); b.bytes != 0 || b.missed != 82 {
		t.Errorf("backlog %+v, want 82 records missed", b)
	}
}

// TestRecordsBatch: a backlog is handed over many ordinals at a time, whole ordinals only, with what took no effect.
func TestRecordsBatch(t *testing.T) {
	t.Parallel()
	r := newRecords(1, 1, 1<<30, 1<<30)
	for o := uint64(1); o <= 100; o++ {
		d := delivery(o, 100, 1)
		d.Dropped = []effect.Refusal{{Seq: o, Why: effect.Duplicate}}
		r.append(d)
	}
	ordinals, records := uint64(0), 0
	for records < 10_000 {
		var next turn
		ok := r.nextForApp(nil, &next)
		batch, dropped := next.batch, next.dropped
		if !ok || len(batch) > batchRecords || len(batch)%100 != 0 || len(batch) < 200 {
			t.Fatalf("a batch of %d records", len(batch))
		}
		if len(dropped) != len(batch)/100 || dropped[0].Seq != ordinals+1 {
			t.Fatalf("%d updates without effect, from %d on", len(dropped), dropped[0].Seq)
		}
		records += len(batch)
		ordinals += uint64(len(batch) / 100)
		r.ack(ordinals)
	}
}

// TestRecordsShared: what the application does with its batch does not reach watchers.
func TestRecordsShared(t *testing.T) {
	t.Parallel()
	r := newRecords(1, 1, 1<<20, 1<<20)
	r.append(delivery(1, 3, 10))
	var last turn
	r.nextForApp(nil, &last)
	batch := last.batch
	clear(batch)
	if got, err := r.Next(t.Context(), 1); err != nil || got[0].Ordinal != 1 {
		t.Errorf("%v, %v", got, err)
	}
}
