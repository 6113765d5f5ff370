package core_test

import (
	"strconv"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// vote view=N from=…: these replicas vote for a view, as if they had measured a leader that is too slow. In an asynchronous
// network that may happen at any time, so safety cannot depend on it.
func (s *script) vote(t *testing.T, d *datadriven.TestData) {
	view, from := uint64(0), group.Set(0)
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "view":
			view, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		case "from":
			from = parseSet(t, a.Vals)
		}
	}
	for id := range from.All() {
		s.send(id, effect.Send{To: s.group.All(), Class: wire.Bounded, Msg: &wire.NewLeader{View: view}})
	}
}

// replay rI view=N members=… to=…: replica I signs a REPLAY of an empty window from these members' states, with shares of all
// of them, as a leader could that found two lists with a proof.
func (s *script) replay(t *testing.T, d *datadriven.TestData) {
	r := wire.Resolution{Start: 1, Window: wire.Bindings{}.Digest(1, 0, 0)}
	from, to := group.ID(0), group.Set(0)
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "view":
			r.View, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		case "members":
			r.Members = parseSet(t, a.Vals)
		case "to":
			to = parseSet(t, a.Vals)
		default:
			for id := range parseSet(t, []string{a.Key}).All() {
				from = id
			}
		}
	}
	r.Window = wire.Bindings{}.Digest(1, r.View, 0)
	m := &wire.Replay{Proof: wire.StateProof{Resolution: r}}
	for id := range r.Members.All() {
		share := wire.NewEnvelope(wire.Header{Sender: id, Epoch: 1, Incarnation: 1}, &wire.StateShare{Resolution: r})
		share.Finish(wire.Proof{Count: 1})
		m.Proof.Shares = append(m.Proof.Shares, share)
	}
	s.send(from, effect.Send{To: to, Class: wire.Timely, Msg: m})
}

// report rI view=N executed=M: replica I reports that it executed more than it did, and nothing else, before its core can say
// otherwise.
func (s *script) report(t *testing.T, d *datadriven.TestData) {
	m, from := &wire.Report{}, group.Set(0)
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "view":
			m.View, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		case "executed":
			m.Executed, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		default:
			from = parseSet(t, []string{a.Key})
		}
	}
	for id := range from.All() {
		s.send(id, effect.Send{To: s.group.All(), Class: wire.Bounded, Msg: m})
	}
}
