package sim

import (
	"encoding/binary"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// vouching is the part of the ledger that is about catching up: who told whom what was executed.
type vouching struct {
	outlines map[outlineKey]group.Set // who gave a hearer one outline
	told     []map[uint64]bool        // by hearer: ordinals of which it has heard what they are
}

// outlineKey names an outline that somebody heard.
type outlineKey struct {
	hearer   group.ID
	from, to uint64
	links    uint64 // hash
}

func newVouching(n int) vouching {
	v := vouching{outlines: map[outlineKey]group.Set{}, told: make([]map[uint64]bool, n)}
	for i := range v.told {
		v.told[i] = map[uint64]bool{}
	}
	return v
}

// heardCatchUp is heard for outlines and segments. A request that came with a segment is held as well as any.
func (l *ledger) heardCatchUp(hearer group.ID, env *wire.Envelope) {
	switch m := env.Msg.(type) {
	case *wire.Outline:
		links := make([]byte, 0, len(m.Links)*len(wire.Digest{}))
		for i := range m.Links {
			links = append(links, m.Links[i][:]...)
		}
		key := outlineKey{hearer, m.From, m.To, mix(links, binary.LittleEndian.AppendUint64(nil, m.To))}
		l.outlines[key] = l.outlines[key].With(env.Sender)
	case *wire.Segment:
		for i := range m.Ordinals {
			l.told[hearer.Index()][m.From+1+uint64(i)] = true
			for _, q := range m.Ordinals[i].Requests {
				if e := q.Request; e != nil && l.current(e) {
					v := l.request(requestKey{e.Sender, e.Msg.(*wire.PreorderRequest).Seq}, e.Digest)
					v.holders = v.holders.With(hearer)
				}
			}
		}
	}
}

// vouched reports whether f+1 replicas told who the same links up to an ordinal and beyond, and
// somebody what that is.
func (l *ledger) vouched(who group.ID, ordinal uint64) bool {
	if !l.told[who.Index()][ordinal] {
		return false
	}
	for key, by := range l.outlines { // the order does not matter
		if key.hearer == who && key.from < ordinal && ordinal <= key.to && by.Len() >= l.group.OneCorrect() {
			return true
		}
	}
	return false
}

// learned checks what a correct replica executes without a certificate: f+1 others vouched for it, some other replica has executed it with
// a certificate, and it holds all its requests. From then on it may say that it has preordered them. It is nil if that is not so.
func (h *history) learned(who group.ID, d *effect.Delivery) *decided {
	if d.Ordinal > uint64(len(h.ordinals)) {
		h.fail("%s executes ordinal %d, which nobody has a certificate of", who, d.Ordinal)
		return nil
	}
	if !h.vouched(who, d.Ordinal) {
		h.fail("%s executes ordinal %d without a certificate, and f+1 replicas did not vouch for it", who, d.Ordinal)
		return nil
	}
	before, _ := h.lineAt(d.Ordinal - 1)
	o := &h.ordinals[d.Ordinal-1]
	for i := range o.line {
		for seq := before[i].Seq + 1; seq <= o.line[i].Seq; seq++ {
			if !h.learns(who, requestKey{group.FromIndex(i), seq}) {
				h.fail("%s executes ordinal %d without request %d of %s", who, d.Ordinal, seq, group.FromIndex(i))
				return nil
			}
		}
	}
	h.learnt++
	return o
}

// ready reports whether who has certificates of all requests of an ordinal of the history.
func (h *history) ready(who group.ID, ordinal uint64) bool {
	before, _ := h.lineAt(ordinal - 1)
	for i, to := range h.ordinals[ordinal-1].line {
		for seq := before[i].Seq + 1; seq <= to.Seq; seq++ {
			if !h.holdsCertificate(who, requestKey{group.FromIndex(i), seq}) {
				return false
			}
		}
	}
	return true
}

// learns notes that who knows that a request is preordered, as it was executed; false if it does not hold the request.
func (h *history) learns(who group.ID, key requestKey) bool {
	slot := h.requests[key]
	if slot == nil {
		return false
	}
	for _, v := range slot.variants {
		if v.ackers.Len() >= h.group.Quorum() {
			v.learned = v.learned.With(who)
			return v.holders.Has(who)
		}
	}
	return false
}
