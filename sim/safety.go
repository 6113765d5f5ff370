package sim

import (
	"bytes"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// history is the one order that all correct replicas must deliver. The first of them to reach an ordinal makes it known
// which proposal was ordered; what then has to be delivered is computed here, from that proposal and from the requests that
// have certificates, and every replica's delivery is compared with it (protocol-core.md 11.1, items 1, 5, 6, 10).
type history struct {
	*promises
	epoch    uint32
	table    sessions
	executed wire.Vector
	ordinals []decided            // of ordinal 1, 2, 3 …
	done     map[updateKey]uint64 // ordinal at which an update took effect
	settled  map[updateKey]bool   // took effect, or was ordered and dropped
	offered  map[offer]bool       // what clients submitted, and where
	at       []uint64             // by replica: the last ordinal that it delivered
	asked    group.Set            // replicas whose applications asked for a transfer point
	marked   []int64              // by replica: ordered time of the last transfer point that took effect, 0 if none did
	honest   func(group.ID) bool
	learnt   int // ordinals that replicas executed from what others told
}

// decided is one ordinal of the history.
type decided struct {
	proposal wire.Digest // zero: no-op
	delivery effect.Delivery
	line     wire.Vector // what it and everything before it make eligible
	chain    [32]byte
	records  []app.Record
	results  [][]byte // of the first application that reached it
	answered bool     // results is set
	state    []byte   // of the core, if a checkpoint was due; of the first replica that reached it
}

// updateKey names an update.
type updateKey struct {
	client wire.ClientID
	seq    uint64
}

// offer is one update as a client submitted it to one replica.
type offer struct {
	to      group.ID
	client  wire.ClientID
	seq     uint64
	payload string
}

func newHistory(p *promises, epoch uint32, most, window int) *history {
	n := p.group.N()
	h := &history{
		promises: p, epoch: epoch, table: sessions{most: uint64(most), window: uint64(window)}, executed: make(wire.Vector, n),
		done: map[updateKey]uint64{}, settled: map[updateKey]bool{}, offered: map[offer]bool{},
		at: make([]uint64, n), marked: make([]int64, n),
	}
	p.views.line = h.lineAt
	return h
}

// lineAt is what an ordinal of the history and everything before it make eligible; false if it is not known yet.
func (h *history) lineAt(ordinal uint64) (wire.Vector, bool) {
	switch {
	case ordinal == 0:
		return make(wire.Vector, h.group.N()), true
	case ordinal > uint64(len(h.ordinals)):
		return nil, false
	}
	return h.ordinals[ordinal-1].line, true
}

// submitted notes what a client hands to a replica.
func (h *history) submitted(to group.ID, u *wire.Update) {
	h.offered[offer{to, u.Client, u.Seq, string(u.Payload)}] = true
}

// deliver checks what a correct replica hands to its application and returns the records of it.
func (h *history) deliver(who group.ID, d *effect.Delivery, latest int64) *decided {
	if d.Ordinal != h.at[who.Index()]+1 {
		h.fail("%s delivers ordinal %d after ordinal %d", who, d.Ordinal, h.at[who.Index()])
		return nil
	}
	h.at[who.Index()], h.views.by[who.Index()].delivered = d.Ordinal, d.Ordinal
	v, normal, ok := h.ordered(who, d.Ordinal)
	if !ok || v != nil && v.msg == nil || h.vouched(who, d.Ordinal) && d.Ordinal <= uint64(len(h.ordinals)) && !h.ready(who, d.Ordinal) {
		o := h.learned(who, d)
		if o != nil {
			h.compare(who, d, &o.delivery)
		}
		return o
	}
	if d.Ordinal == uint64(len(h.ordinals))+1 && !h.decide(v, normal, d, latest) {
		return nil
	}
	o, digest := &h.ordinals[d.Ordinal-1], wire.Digest{}
	if v != nil {
		digest = v.digest
	}
	if o.proposal != digest {
		h.fail("ordinal %d: %s executes proposal %s, another replica executed %s", d.Ordinal, who, digest, o.proposal)
		return nil
	}
	h.compare(who, d, &o.delivery)
	if d.State != nil {
		h.state(who, d.State)
	}
	return o
}

// decide computes the next ordinal of the history from the proposal that was ordered, nil for a no-op. latest is the highest
// correct clock.
func (h *history) decide(v *proposalVariant, normal bool, d *effect.Delivery, latest int64) bool {
	var rows wire.Rows
	var eligible wire.Vector
	next := decided{}
	if v != nil {
		rows, eligible, next.proposal = v.msg.Rows, h.ofRows(v.msg), v.digest
	}
	if normal && !h.views.rebound(d.Ordinal) && !(v.msg.Base.Covers(h.executed) && h.executed.Covers(v.msg.Base)) {
		h.fail("ordinal %d is ordered with a base that the ordinal before it did not make eligible", d.Ordinal)
		return false
	}
	if want := h.orderedTime(rows); d.Time != want {
		h.fail("ordinal %d has ordered time %d, its rows give %d", d.Ordinal, d.Time, want)
		return false
	}
	if d.Time > latest {
		h.fail("ordered time of ordinal %d is %d ns ahead of every correct clock", d.Ordinal, d.Time-latest)
		return false
	}
	want := effect.Delivery{Ordinal: d.Ordinal, Time: d.Time}
	for i, upTo := range eligible {
		for h.executed[i].Seq < upTo.Seq {
			h.executed[i].Incarnation = upTo.Incarnation
			h.executed[i].Seq++
			key := requestKey{group.FromIndex(i), h.executed[i].Seq}
			m := h.certifiedRequest(key)
			if m == nil {
				h.fail("ordinal %d makes %s %d eligible, which has no certificate", d.Ordinal, key.origin, key.seq)
				return false
			}
			for j := range m.Updates {
				h.execute(&want, key.origin, &m.Updates[j])
			}
		}
	}
	next.delivery, next.records, next.line = want, h.records(&want), append(wire.Vector(nil), h.executed...)
	h.ordinals = append(h.ordinals, next)
	o, chain := &h.ordinals[len(h.ordinals)-1], app.Chain{}
	if n := len(h.ordinals); n > 1 {
		chain.Sum = h.ordinals[n-2].chain
	}
	for i := range o.records {
		chain.Add(o.records[i])
	}
	o.chain = chain.Sum
	return true
}

// orderedTime is the time that a matrix gives to the next ordinal: the (f+1)-th highest clock of its rows, so at most that of
// some correct replica, and never less than the time before.
func (h *history) orderedTime(rows wire.Rows) int64 {
	var before int64
	if n := len(h.ordinals); n > 0 {
		before = h.ordinals[n-1].delivery.Time
	}
	for _, row := range rows {
		if row == nil {
			continue
		}
		at, asHigh := row.Msg.(*wire.Summary).Time, 0
		for _, other := range rows {
			if other != nil && other.Msg.(*wire.Summary).Time >= at {
				asHigh++
			}
		}
		if asHigh >= h.group.OneCorrect() {
			before = max(before, at)
		}
	}
	return before
}

// certifiedRequest is the request that a quorum acknowledged under an id.
func (h *history) certifiedRequest(key requestKey) *wire.PreorderRequest {
	slot := h.requests[key]
	if slot == nil {
		return nil
	}
	for _, v := range slot.variants {
		if v.ackers.Len() >= h.group.Quorum() {
			return v.msg
		}
	}
	return nil
}

// execute decides what becomes of one ordered update.
func (h *history) execute(want *effect.Delivery, origin group.ID, u *wire.Update) {
	if u.Client == (wire.ClientID{}) {
		h.mark(want, origin, u)
		return
	}
	key := updateKey{u.Client, u.Seq}
	h.settled[key] = true
	if h.honest(origin) && !h.offered[offer{origin, u.Client, u.Seq, string(u.Payload)}] {
		h.fail("%s introduced an update that no client submitted to it", origin)
	}
	if why := h.table.execute(u.Client, u.Seq, want.Time); why != 0 {
		want.Dropped = append(want.Dropped, effect.Refusal{Client: u.Client, Seq: u.Seq, Why: why})
		return
	}
	if before := h.done[key]; before != 0 {
		h.fail("update %d of a client takes effect at ordinals %d and %d", u.Seq, before, want.Ordinal)
	}
	h.done[key] = want.Ordinal
	want.Updates = append(want.Updates, *u)
	want.Origins = append(want.Origins, origin)
}

// mark decides what becomes of an ordered transfer point: two of one origin that take effect are at least ten seconds apart.
func (h *history) mark(want *effect.Delivery, origin group.ID, u *wire.Update) {
	if h.honest(origin) && !h.asked.Has(origin) {
		h.fail("%s introduced a transfer point that its application did not ask for", origin)
	}
	last := &h.marked[origin.Index()]
	if *last == 0 || want.Time-*last >= int64(10*time.Second) {
		*last = want.Time
		want.Updates, want.Origins = append(want.Updates, *u), append(want.Origins, origin)
	}
}

// compare checks a delivery against the history.
func (h *history) compare(who group.ID, got, want *effect.Delivery) {
	if got.Time != want.Time {
		h.fail("ordinal %d: %s has ordered time %d, another replica %d", got.Ordinal, who, got.Time, want.Time)
		return
	}
	if len(got.Updates) != len(want.Updates) || len(got.Origins) != len(want.Origins) || len(got.Dropped) != len(want.Dropped) {
		h.fail("ordinal %d: %s delivers %d updates of %d origins and drops %d; it should be %d and %d", got.Ordinal, who,
			len(got.Updates), len(got.Origins), len(got.Dropped), len(want.Updates), len(want.Dropped))
		return
	}
	for i := range want.Updates {
		g, w := &got.Updates[i], &want.Updates[i]
		if g.Client != w.Client || g.Seq != w.Seq || !bytes.Equal(g.Payload, w.Payload) || got.Origins[i] != want.Origins[i] {
			h.fail("ordinal %d: %s delivers another update at place %d than the requests have", got.Ordinal, who, i+1)
			return
		}
	}
	for i := range want.Dropped {
		if got.Dropped[i] != want.Dropped[i] {
			h.fail("ordinal %d: %s drops %v, the rules of sessions say %v", got.Ordinal, who, got.Dropped[i], want.Dropped[i])
			return
		}
	}
}

// records is what an application sees of an ordinal.
func (h *history) records(d *effect.Delivery) []app.Record {
	if len(d.Updates) == 0 {
		return []app.Record{{Epoch: h.epoch, Ordinal: d.Ordinal, Index: 1, Total: 1, Time: d.Time}}
	}
	all := make([]app.Record, len(d.Updates))
	for i := range d.Updates {
		u := &d.Updates[i]
		all[i] = app.Record{Epoch: h.epoch, Ordinal: d.Ordinal, Index: uint32(i + 1), Total: uint32(len(all)),
			Origin: int(d.Origins[i]), Client: u.Client, Seq: u.Seq, Time: d.Time, Payload: u.Payload}
	}
	return all
}

// applied checks the results of an application against those of the others: equal records must give equal results.
func (h *history) applied(who group.ID, o *decided, results [][]byte) {
	if len(results) != len(o.records) {
		h.fail("%s's application returns %d results for %d records", who, len(results), len(o.records))
		return
	}
	if !o.answered {
		o.results, o.answered = results, true
		return
	}
	for i := range results {
		if !o.records[i].NoOp() && !bytes.Equal(results[i], o.results[i]) {
			h.fail("the applications of two replicas answer ordinal %d, index %d differently; %s is one", o.records[i].Ordinal,
				i+1, who)
			return
		}
	}
}

// latest is the highest calendar time that a correct replica's clock shows at now.
func latest(p *plan, now clock.Instant) int64 {
	var most int64
	for i := range p.replicas {
		if p.correct(group.FromIndex(i)) {
			r := &p.replicas[i]
			most = max(most, int64(r.skew)+int64(r.local(now)-r.start))
		}
	}
	return calendar + most
}
