package sim

import (
	"fmt"
	"time"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/group"
)

// terms are what the bound on the delay of an update is made of, all in the world's time: docs/protocol.md, "Bounded delay", has
// the derivation and the same names. Everything follows from the plan, but for how long messages waited to be signed, which is
// measured: a replica signs one batch after the other.
type terms struct {
	bounded, timely time.Duration // L_bounded, L_timely: the way, and signing and verifying

	request, ack, summary, matrix time.Duration // aggregation of each kind: Δ_req, Δ_ack, Δ_sum, Δ_mat
	parts                         time.Duration // Δ_par: before parts of a request are sent, and cutting and joining them

	pace   time.Duration // Δ_pro + Δ_win: a correct leader spaces its proposals, and waits for an ordinal to be executed
	role   time.Duration // K_Lat · acceptable + Δ_pp: what a leader may take without losing its place
	repeat time.Duration // K_Lat · acceptable: what it may take to repeat the proof of a view change
	notice time.Duration // Δ_check: until a turnaround beyond that is noticed
}

// terms computes the terms for messages that wait for their signature at most so long, and jobs for their end.
func (p *plan) terms(signing, working time.Duration) terms {
	var t terms
	var verify, check time.Duration
	for i := range p.replicas {
		r := &p.replicas[i]
		if len(r.attacks) > 0 {
			continue
		}
		verify = max(verify, r.verifyCost)
		check = max(check, r.timing.Suspect.Check)
		t.request, t.ack = max(t.request, r.timing.Request), max(t.ack, r.timing.Ack)
		t.summary, t.matrix = max(t.summary, r.timing.Summary), max(t.matrix, r.timing.Matrix)
		t.parts = max(t.parts, r.timing.Recon)
	}
	for _, d := range []*time.Duration{&t.request, &t.ack, &t.summary, &t.matrix} {
		*d = p.stretch(*d)
	}
	t.bounded, t.timely = p.net.latencyMax+signing+verify+copies, p.net.timelyMax+signing+verify+copies
	if t.parts = p.stretch(t.parts) + 2*working; !p.limits.Recon {
		t.parts = 0
	}
	t.pace = p.pace(2*t.bounded + t.ordered())
	if !p.judged {
		return t
	}
	s := &p.replicas[0].timing.Suspect
	acceptable := max(s.Floor, p.swell(2*t.timely))
	t.repeat = p.stretch(acceptable * time.Duration(s.KLat) / 1000)
	t.role = t.repeat + p.stretch(s.Delta)
	t.notice = p.stretch(check)
	return t
}

// pace is the longest pause that a correct leader makes between two proposals, if an ordinal takes so long from its proposal to
// its execution: its aggregation, and where that does not keep its window open, the wait for the oldest ordinal.
func (p *plan) pace(ordinal time.Duration) (pause time.Duration) {
	for i := range p.replicas {
		if r := &p.replicas[i]; len(r.attacks) == 0 {
			least := r.timing.Propose - r.timing.Propose*time.Duration(p.drift())/million
			pause = max(pause, p.stretch(r.timing.Propose)+max(0, ordinal-time.Duration(p.limits.OrdinalWindow)*least))
		}
	}
	return pause
}

// copies is what the copies of a message and the order of a link add at most: a nanosecond for each message in between.
const copies = 10 * time.Microsecond

// settled is from the introduction of an update until every correct replica knows that it is eligible: request, acknowledgement
// and summary.
func (t *terms) settled() time.Duration { return t.request + t.ack + t.summary + 3*t.bounded }

// agreement is from the proposal's arrival at one correct replica until all have executed it: flooding, PREPARE and COMMIT. What
// else the ordinal orders may be so new that requests and acknowledgements are still on their way; they are there by then too. And
// requests that an origin hides come in parts, from replicas that have accepted the proposal.
func (t *terms) agreement() time.Duration { return 2*t.bounded + max(t.bounded, t.ack, t.parts) }

// ordered is what an ordinal of a correct leader takes beside PREPARE and COMMIT: its proposal, or requests and acknowledgements
// that arrive later, or what parts take longer than PREPARE.
func (t *terms) ordered() time.Duration { return max(t.timely, t.ack, t.timely+t.parts-t.bounded) }

// bound is how long an update may take under any leader that keeps its place:
// 5 L_bounded + max(L_bounded, Δ_ack) + (K_Lat · acceptable + Δ_pp) + Δ_req + Δ_ack + Δ_sum + Δ_mat + Δ_notice.
func (t *terms) bound() time.Duration {
	return t.settled() + t.matrix + t.role + t.notice + t.agreement()
}

// fair is how long it may take under a correct leader, which hears the summaries itself and proposes to all:
// 5 L_bounded + max(L_timely, Δ_ack) + Δ_req + Δ_ack + Δ_sum + Δ_pro + Δ_win.
func (t *terms) fair() time.Duration {
	return t.settled() + t.pace + 2*t.bounded + t.ordered()
}

// again is how long it waits at most because somebody is proven faulty, whose rows the leader was shown: it is shown others.
func (t *terms) again() time.Duration { return t.matrix + t.role + t.notice }

// change is how long an update waits at most because of one view that is given up: until the leader is voted out, and until the
// next view is installed.
func (t *terms) change() time.Duration {
	return t.matrix + t.role + t.notice + 2*t.bounded + t.install()
}

// install is from the first correct replica that moves to a view until all have installed it, or the first moves to the next:
// the proof of the votes; REPORT, ECHO, READY, and READY again where a liar reports; the report itself, and what it says that was
// executed, fetched where they are lacking; list, shares; the leader's repetition; flooding, REPLAY-PREPARE, REPLAY-COMMIT.
func (t *terms) install() time.Duration { return 16*t.bounded + t.repeat + t.notice }

// terms is those of the plan with the longest that a message of a correct replica has waited for its signature since the storm.
func (w *world) terms() terms { return w.plan.terms(w.calm.signing, w.calm.working) }

// hides reports whether this world has an origin that shows its requests to some replicas and not to others, and no
// reconciliation (TDSC 2011 section 5.3): the ordinals that they are in wait for them to be fetched from whoever holds them, and
// the bound is not demanded.
func (p *plan) hides() bool {
	if p.limits.Recon {
		return false
	}
	for i := range p.replicas {
		for _, name := range p.replicas[i].attacks {
			if b, ok := attack.Named(name); ok && b.Hides {
				return true
			}
		}
	}
	return false
}

// String is for people.
func (t terms) String() string {
	return fmt.Sprintf("L_bounded %v, L_timely %v, request %v, ack %v, summary %v, matrix %v, parts %v, pace %v, role %v, repeat %v, notice %v",
		t.bounded, t.timely, t.request, t.ack, t.summary, t.matrix, t.parts, t.pace, t.role, t.repeat, t.notice)
}

// sane reports whether a replica is correct, and running at the moment.
func (w *world) sane(id group.ID) bool {
	n := w.nodes[id.Index()]
	return n.live() && n.plan.paused(w.now) == w.now
}
