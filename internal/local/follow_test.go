package local

import (
	"errors"
	"fmt"
	"testing"

	"github.com/primebft/prime/app"
)

// TestFollow: the records are those of Watch, without payloads, and the replica's own are left as they are.
func TestFollow(t *testing.T) {
	t.Parallel()
	f, _, dir := serve(t)
	c := dial(t, dir)
	for i := range 3 {
		if _, err := c.Submit(t.Context(), fmt.Append(nil, "update ", i)); err != nil {
			t.Fatal(err)
		}
	}
	done := errors.New("enough")
	next := uint64(1)
	err := dial(t, dir).Follow(t.Context(), 1, func(records []app.Record) error {
		for _, r := range records {
			if r.Ordinal != next || r.Seq == 0 || len(r.Payload) != 0 {
				t.Errorf("record %+v, want ordinal %d without a payload", r, next)
			}
			next++
		}
		if next > 3 {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.records {
		if !r.NoOp() && len(r.Payload) == 0 {
			t.Errorf("the replica's own record %d has lost its payload", r.Ordinal)
		}
	}
}
