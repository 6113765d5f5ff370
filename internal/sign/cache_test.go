package sign

import (
	"testing"
	"testing/synctest"

	"github.com/primebft/prime/internal/wire"
)

func TestBatchUnderVerificationIsWaitedFor(t *testing.T) {
	t.Parallel()
	for good, want := range map[bool]claim{true: claimKnown, false: claimVerify} {
		synctest.Test(t, func(t *testing.T) {
			r := new(roots)
			r.done.L = &r.mu
			b, sameSlot := &batch{count: 1}, &batch{count: 2}
			if got := r.enter(b); got != claimVerify {
				t.Fatalf("first: %v", got)
			}
			if got := r.enter(sameSlot); got != claimAlone {
				t.Errorf("another in its slot: %v, want %v", got, claimAlone)
			}
			second := make(chan claim, 1)
			go func() { second <- r.enter(b) }()
			synctest.Wait()
			if len(second) != 0 {
				t.Error("the second did not wait for the first")
			}
			r.settle(b, good)
			if got := <-second; got != want {
				t.Errorf("second, when the first found it good = %v: %v, want %v", good, got, want)
			}
		})
	}
}

func TestLaneHoldsOnlyWhatCameBeforeAndWaits(t *testing.T) {
	t.Parallel()
	l, e := new(lane), &wire.Envelope{Digest: wire.Digest{7}}
	for range 3 {
		l.push(nil)
		l.read()
	}
	l.finish(1, e)
	for position, want := range []bool{false, false, true} {
		if got := l.holds(&e.Digest, uint64(position)); got != want {
			t.Errorf("at %d: %v, want %v", position, got, want)
		}
	}
	l.pop()
	if !l.holds(&e.Digest, 2) {
		t.Error("forgotten while it waits")
	}
	l.pop()
	if l.holds(&e.Digest, 2) {
		t.Error("remembered after it was taken")
	}
}
