package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/attack"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// bite is what shows, in the trace of a world with an attack, that the attack does what it says.
type bite struct {
	attacks []string // stacked; none: the one of that name
	at      group.ID // who attacks, of n = 6 (f = 1, k = 1); 0: r3
	dead    group.ID // who crashes during the load, so that there is a view change; 0: nobody
	has     []string // patterns that have to be in the trace; ME is the attacker
	lacks   []string // and that must not be
	parts   bool     // what replicas lack comes to them in parts
	absent  group.ID // who is away for two seconds before the world is quiet; 0: nobody
	states  bool     // replicas make checkpoints
	refused bool     // receivers refuse some of its messages before the core sees them
	check   func(trace string) string
}

// bites has every behaviour; those that only a look at the message itself shows are in internal/attack, TestWhatIsSaid.
var bites = map[string]bite{
	"equivocate":        {has: []string{"reports blacklisted peer=ME"}},
	"equivocate-to-two": {has: []string{"reports (fetched|healed) origin=ME"}},
	"agree":             {attacks: []string{"equivocate", "agree"}, has: []string{"reports blacklisted peer=ME"}, check: twoAcks},
	"hide":              {has: []string{"reports fetched origin=ME"}},
	"reconciliation":    {has: []string{"reports fetched origin=ME"}, lacks: []string{`says PO-ACK of ME.* r[^3]/\d+=`}},
	"mute":              {lacks: []string{`r[12456] hears \S+ of ME .*from ME`}},
	"selective":         {has: []string{"r1 hears COMMIT of ME"}, lacks: []string{"r2 hears COMMIT of ME"}},
	"liar":              {has: []string{"reports blacklisted peer=ME"}},
	"false-acks":        {check: twoAcks},
	"wrong-votes":       {has: []string{"reports dropped .*peer=ME"}},
	"flood":             {has: []string{"reports dropped .*peer=ME reason=\"ordinal beyond the window\""}},
	"flood-views":       {has: []string{"hears RECALL of ME", "hears WINDOW|hears RB-ECHO of ME"}},
	"replay":            {has: []string{"hears COMMIT of r[12456] .*from ME"}},
	"late":              {has: []string{"hears PO-ACK of ME"}, check: repeated},
	"frame":             {has: []string{"hears EVIDENCE of ME"}, lacks: []string{"reports blacklisted"}},
	"omit-rows":         {at: 1, has: []string{"says PRE-PREPARE of ME .*rows.* - .*"}},
	"stale-rows":        {at: 1, has: []string{"says PRE-PREPARE of ME"}, check: staleRow},
	"forge-rows":        {at: 1, has: []string{"reports (blacklisted|suspected) .*peer=ME"}},
	"wrong-base":        {at: 1, has: []string{"reports suspected view=1 peer=ME"}},
	"two-proposals":     {at: 1, has: []string{"reports blacklisted peer=ME", "reports suspected view=1 peer=ME"}},
	"all-but-two":       {at: 1, has: []string{"reports blacklisted peer=ME", "reports suspected view=1 peer=ME"}},
	"propose-to-one":    {at: 1, check: toOne("PRE-PREPARE")},
	"delay":             {at: 1, check: toOne("PRE-PREPARE")},
	"silent-change":     {dead: 1, has: []string{"hears REPORT of r4"}, lacks: []string{"r[12456] hears REPORT of ME"}},
	"half-change":       {dead: 1, has: []string{"r[12456] hears (REPORT|RB-ECHO|RB-READY) of ME"}, check: notToAll},
	"replay-to-one":     {at: 2, dead: 1, check: toOne("REPLAY")},
	"two-replays":       {at: 2, dead: 1, has: []string{"reports blacklisted peer=ME", "reports suspected view=2 peer=ME"}},
	"voter":             {has: []string{"hears NEW-LEADER of ME"}, lacks: []string{"reports preinstalled"}},
	"stalls":            {at: 1, has: []string{"reports suspected view=1 peer=ME"}},
	"early-pongs":       {check: moreThan("RTT-PONG", "RTT-PING")},
	"forged-change":     {dead: 1, has: []string{"hears VC-LIST of ME", "hears RB-ECHO of ME"}},
	"flood-kind":        {},
	"twins":             {has: []string{"reports blacklisted peer=ME"}},
	"shared-key":        {}, // TestSharedKey
	"lying-reports":     {dead: 1, has: []string{"hears REPORT of ME"}},
	"forged-reports":    {dead: 1, refused: true},
	"forged-shares":     {dead: 1, refused: true},
	"two-reports":       {dead: 1, has: []string{"reports blacklisted peer=ME"}},
	"false-measures":    {has: []string{"hears TAT-MEASURE of ME"}},
	"absurd-time":       {has: []string{"hears PO-SUMMARY of ME"}},
	"wrong-parts":       {attacks: []string{"hide", "wrong-parts"}, parts: true, has: []string{"hears RECON of ME", "reports blacklisted peer=ME"}},
	"flood-parts":       {parts: true, has: []string{"hears RECON of ME"}},
	"needy":             {parts: true, has: []string{"r3 hears RECON of r[12456]"}},
	"wrong-outline":     {absent: 6, has: []string{"r6 hears OUTLINE of ME", "r6 reports caught-up"}, check: differs("OUTLINE")},
	"wrong-segment":     {absent: 6, has: []string{"r6 reports dropped .*peer=ME .*does not lead", "r6 reports caught-up"}},
	"silent-helper":     {absent: 6, has: []string{"ME hears SEGMENT-ASK of r6", "r6 reports caught-up"}, lacks: []string{"hears SEGMENT of ME"}},
	"slow-helper":       {absent: 6, has: []string{"r6 hears SEGMENT of ME", "r6 reports caught-up"}},
	"flood-segments":    {has: []string{"hears SEGMENT-ASK of ME", "hears OUTLINE-ASK of ME", "reports dropped .*peer=ME .*not asked for"}},
	"wrong-checkpoints": {states: true, has: []string{"hears CHECKPOINT of ME", "reports stable ordinal="}},
	"two-checkpoints":   {states: true, has: []string{"reports blacklisted peer=ME"}},
	"no-checkpoints":    {states: true, has: []string{"hears COMMIT of ME", "reports stable ordinal="}, lacks: []string{"r[12456] hears CHECKPOINT of ME"}},
	"flood-checkpoints": {states: true, has: []string{`reports dropped .*peer=ME reason="older than the checkpoints that are kept"`}},
	"forged-proofs":     {states: true, refused: true, has: []string{"hears CHECKPOINT-PROOF of ME", "reports stable ordinal="}},
	"frame-parts":       {parts: true, refused: true, lacks: []string{"reports blacklisted"}},
}

// TestAttacksBite runs each behaviour in worlds of its own until one shows that it does what it says, and expects that all these
// worlds keep their promises.
func TestAttacksBite(t *testing.T) {
	t.Parallel()
	for _, b := range attack.Behaviours() {
		want, ok := bites[b.Name]
		if !ok {
			t.Errorf("nothing is expected of %s", b.Name)
			continue
		}
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			me := max(want.at, 3)
			if want.at != 0 {
				me = want.at
			}
			why := ""
			for seed := uint64(1); seed <= 12; seed++ {
				p := quietPlan(1, 1)
				p.limits.Recon = want.parts
				if want.states {
					p.limits.CheckpointOrdinals = 2
				}
				if p.replicas[me.Index()].attacks = want.attacks; want.attacks == nil {
					p.replicas[me.Index()].attacks = []string{b.Name}
				}
				if want.absent != 0 {
					p.absence.who = 0
					p.depart(rand.New(rand.NewPCG(seed, 6)), 2*time.Second, want.absent)
				}
				if want.dead != 0 {
					p.replicas[want.dead.Index()].crash = p.stormEnd / 2
				}
				var trace bytes.Buffer
				r := run(&Options{Seed: seed, Trace: &trace}, p, newReplica)
				if r.Violation != nil {
					t.Fatalf("seed %d: %s", seed, r.Violation.What)
				}
				if why = want.missing(trace.String(), me); why == "" && want.refused && r.Forged == 0 {
					why = "nothing of it is refused"
				}
				if why == "" {
					return
				}
			}
			t.Errorf("%s: %s", b.Does, why)
		})
	}
}

// differs wants a message of a kind of the attacker to say something else than those of others to the same receiver.
func differs(kind string) func(string) string {
	return func(trace string) string {
		said := map[string]bool{}
		for _, line := range regexp.MustCompile(`hears `+kind+` of r\d (.*) from`).FindAllStringSubmatch(trace, -1) {
			said[line[1]] = true
		}
		for _, line := range regexp.MustCompile(`hears `+kind+` of ME (.*) from`).FindAllStringSubmatch(trace, -1) {
			if !said[line[1]] {
				return ""
			}
		}
		return "it says what the others say"
	}
}

// self is the attacker in patterns.
var self = regexp.MustCompile(`\bME\b`)

// missing says what is not in a trace as it should be.
func (b *bite) missing(trace string, me group.ID) string {
	for i, pattern := range append(append([]string(nil), b.has...), b.lacks...) {
		pattern = self.ReplaceAllString(pattern, me.String())
		if found := regexp.MustCompile(pattern).MatchString(trace); found != (i < len(b.has)) {
			return fmt.Sprintf("%q is in the trace: %v", pattern, found)
		}
	}
	if b.check != nil {
		return b.check(regexp.MustCompile(`\b`+me.String()+`\b`).ReplaceAllString(trace, "ME"))
	}
	return ""
}

// twoAcks wants two acknowledgements of the attacker for one request, with different digests.
func twoAcks(trace string) string {
	seen := map[string]string{}
	for _, line := range regexp.MustCompile(`says PO-ACK of ME (.*)`).FindAllStringSubmatch(trace, -1) {
		for _, part := range strings.Fields(strings.ReplaceAll(line[1], "!", "")) {
			id, digest, _ := strings.Cut(part, "=")
			if had := seen[id]; had != "" && had != digest {
				return ""
			}
			seen[id] = digest
		}
	}
	return "it acknowledges one digest of each request only"
}

// repeated wants a message of the attacker to come twice.
func repeated(trace string) string {
	seen := map[string]bool{}
	for _, line := range regexp.MustCompile(`(r\d hears PREPARE of ME .*) from ME`).FindAllStringSubmatch(trace, -1) {
		if seen[line[1]] {
			return ""
		}
		seen[line[1]] = true
	}
	return "no PREPARE of it comes twice"
}

// staleRow wants a proposal of the attacker with a row that is older than the same row of the one before.
func staleRow(trace string) string {
	last := []string{}
	for _, line := range regexp.MustCompile(`says PRE-PREPARE of ME .* rows (.*)`).FindAllStringSubmatch(trace, -1) {
		rows := regexp.MustCompile(`\[[^]]*\]|-`).FindAllString(line[1], -1)
		for i := range min(len(last), len(rows)) {
			var before, after int
			if _, err := fmt.Sscanf(last[i], "[%d", &before); err != nil {
				continue
			}
			if _, err := fmt.Sscanf(rows[i], "[%d", &after); err == nil && after < before {
				return ""
			}
		}
		last = rows
	}
	return "all its rows are up to date"
}

// toOne wants every message of that kind to come from the attacker itself to one replica at most, and one at least.
func toOne(kind string) func(string) string {
	return func(trace string) string {
		receivers := map[string]int{}
		for _, line := range regexp.MustCompile(`r\d hears `+kind+` of (ME.*) from ME`).FindAllStringSubmatch(trace, -1) {
			receivers[line[1]]++
		}
		for what, n := range receivers {
			if n > 1 && kind == wire.KindPrePrepare.String() {
				return fmt.Sprintf("%d hear %s of it", n, what)
			}
		}
		if len(receivers) == 0 {
			return "nobody hears a " + kind + " of it"
		}
		if n := receivers["ME"]; n > 2 {
			return fmt.Sprintf("%d hear a %s of it", n, kind)
		}
		return ""
	}
}

// notToAll wants a kind of message of the attacker's view change that fewer hear than of others.
func notToAll(trace string) string {
	count := func(of string) int {
		return len(regexp.MustCompile(`hears RB-ECHO of `+of+` from`).FindAllString(trace, -1))
	}
	if mine, others := count("ME"), count("r4"); mine >= others {
		return fmt.Sprintf("%d of its RB-ECHOs are heard, %d of r4's", mine, others)
	}
	return ""
}

// moreThan wants the attacker to say one kind more often than all others say the other to it.
func moreThan(kind, than string) func(string) string {
	return func(trace string) string {
		said := strings.Count(trace, "says "+kind+" of ME")
		heard := len(regexp.MustCompile(`ME hears `+than+` of r\d`).FindAllString(trace, -1))
		if said <= heard {
			return fmt.Sprintf("it says %d %s and hears %d %s", said, kind, heard, than)
		}
		return ""
	}
}

// TestSharedKey lets two replicas have each other's key: whatever anybody asks, each says yes in both names, also to both of two
// conflicting requests. Others cannot tell who said it; the two are still only two votes.
func TestSharedKey(t *testing.T) {
	t.Parallel()
	p := quietPlan(2, 0)
	p.replicas[2].attacks, p.replicas[4].attacks = []string{"shared-key", "equivocate"}, []string{"shared-key"}
	var trace bytes.Buffer
	if r := run(&Options{Seed: 1, Trace: &trace}, p, newReplica); r.Violation != nil || !r.Converged {
		t.Fatalf("%+v", r.Violation)
	}
	for _, pattern := range []string{`r1 hears PREPARE of r3 .*from r5`, `r1 hears PREPARE of r5 .*from r3`, `reports blacklisted peer=r3`} {
		if !regexp.MustCompile(pattern).MatchString(trace.String()) {
			t.Errorf("%q is not in the trace", pattern)
		}
	}
}

// TestFloodOfEveryKind floods every kind of message in a quiet world, and expects that it arrives, or is refused by every receiver,
// and that nothing breaks: bounded delay included.
func TestFloodOfEveryKind(t *testing.T) {
	notUnderRace(t)
	t.Parallel()
	for _, kind := range attack.FloodKinds() {
		p := quietPlan(1, 0)
		p.limits.CheckpointOrdinals = 8
		p.replicas[2].attacks = []string{"flood:" + kind.String()}
		if _, ok := attack.Named(p.replicas[2].attacks[0]); !ok {
			t.Errorf("there is no flood of %s", kind)
			continue
		}
		var trace bytes.Buffer
		r := run(&Options{Seed: 1, Trace: &trace}, p, newReplica)
		if r.Violation != nil || !r.Converged {
			t.Errorf("%s: converged %v, %+v", kind, r.Converged, r.Violation)
		}
		heard := regexp.MustCompile(`r1 hears `+regexp.QuoteMeta(kind.String())+` of r3`).FindAllString(trace.String(), -1)
		if len(heard) < 20 && r.Forged < 20 {
			t.Errorf("%s: r1 hears %d of them, and %d are refused: no flood", kind, len(heard), r.Forged)
		}
	}
}

// TestForcedAttacks: Options.Attacks makes somebody do that, as leader if it is an attack of leaders.
func TestForcedAttacks(t *testing.T) {
	t.Parallel()
	for _, b := range attack.Behaviours() {
		lead, other := 0, 0
		for seed := uint64(1); seed <= 40; seed++ {
			p := draw(seed)
			p.force([]string{b.Name}, seed)
			for i := range p.replicas {
				switch a := p.replicas[i].attacks; {
				case len(a) == 0:
				case len(a) != 1 || a[0] != b.Name:
					t.Fatalf("seed %d: %v instead of %s", seed, a, b.Name)
				case i < 2:
					lead++
				default:
					other++
				}
			}
		}
		if lead+other < 30 || b.Leader && lead < 25 {
			t.Errorf("%s: %d that lead early, %d others in 40 worlds", b.Name, lead, other)
		}
	}
	if err := CheckAttacks([]string{"mute", "flood:COMMIT"}); err != nil {
		t.Error(err)
	}
	if err := CheckAttacks([]string{"nute"}); err == nil || !strings.Contains(err.Error(), "mute") {
		t.Errorf("a name that does not exist: %v", err)
	}
}
