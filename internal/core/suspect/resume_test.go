package suspect

import (
	"testing"
	"time"

	"github.com/primebft/prime/internal/core/effect"
)

// TestResume: a replica that was away holds nothing of that time against the leader, but the leader still owes it what it had been
// asked for, from then on; and no number is used twice.
func TestResume(t *testing.T) {
	t.Parallel()
	s := watching(1, 0)
	s.Challenge(at(10), wants(1), nil)
	s.measure(5 * time.Millisecond)
	pinged := s.pinged
	s.Resume(at(10_000), s.cfg)
	if s.longest != 5*time.Millisecond || s.pinged <= pinged {
		t.Errorf("longest %v, pings from %d after %d", s.longest, s.pinged, pinged)
	}
	var out effect.Output
	s.Advance(at(10_050), &out)
	if s.longest != 50*time.Millisecond {
		t.Errorf("the leader owes a proposal for %v, want 50 ms", s.longest)
	}
	s = watching(1, 0)
	s.Start(at(0), 2, false)
	s.cfg.Self = 3 // not the leader of view 2
	s.Proof(at(5))
	s.Resume(at(10_000), s.cfg)
	s.Advance(at(10_030), &out)
	if s.longest != 30*time.Millisecond {
		t.Errorf("the leader owes a REPLAY for %v, want 30 ms", s.longest)
	}
}
