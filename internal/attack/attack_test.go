package attack

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
)

// TestBehaviours checks that every behaviour has a name of its own, says what it does, and can be found.
func TestBehaviours(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, b := range Behaviours() {
		if b.Name == "" || b.Does == "" || b.Wrap == nil || seen[b.Name] {
			t.Errorf("behaviour %q: name twice, or something is missing", b.Name)
		}
		seen[b.Name] = true
		if found, ok := Named(b.Name); !ok || found.Does != b.Does {
			t.Errorf("behaviour %q is not found by its name", b.Name)
		}
	}
	if _, ok := Named("no such thing"); ok {
		t.Error("a behaviour that does not exist was found")
	}
}

// TestBehavioursAreSmall: an attack that needs more than 100 lines is two.
func TestBehavioursAreSmall(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(string(text), "\n"); lines > 100 && file != "attack.go" && !strings.HasSuffix(file, "_test.go") {
			t.Errorf("%s has %d lines", file, lines)
		}
	}
}

// TestParse: every behaviour is found by its name, the delay attack takes parameters, and whatever else is refused with what
// would be possible.
func TestParse(t *testing.T) {
	t.Parallel()
	for _, b := range Behaviours() {
		if found, err := Parse(b.Name); err != nil || found.Name != b.Name || found.Wrap == nil {
			t.Errorf("Parse(%q) = %q, %v", b.Name, found.Name, err)
		}
	}
	for text, want := range map[string]*hoarder{
		"delay": {}, "delay share=1200": {share: 1200}, "delay share=0": {share: 0},
		"delay=400ms": {}, "delay hold=0s": {}, " delay  hold=1m share=7": {share: 7},
	} {
		b, err := Parse(text)
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			continue
		}
		got := b.Wrap(&Host{}, nil).(*hoarder)
		if fixed := text == "delay" || strings.Contains(text, "hold") || strings.Contains(text, "y="); got.share != want.share || (got.dare != nil) != fixed {
			t.Errorf("Parse(%q) has share %d, fixed %v", text, got.share, got.dare != nil)
		}
	}
	b, err := Parse("delay=400ms")
	if err != nil {
		t.Fatal(err)
	}
	if d := b.Wrap(&Host{}, nil).(*hoarder).dare(0, core.Judgement{}); d != 400*time.Millisecond {
		t.Errorf("delay=400ms holds for %s", d)
	}
	modest, err := Parse("delay")
	if err != nil {
		t.Fatal(err)
	}
	h := modest.Wrap(&Host{}, nil).(*hoarder)
	j := core.Judgement{Limit: 300 * time.Millisecond, Acceptable: 100 * time.Millisecond, Turnaround: 50 * time.Millisecond}
	if d := h.dare(0, j); d != 160*time.Millisecond {
		t.Errorf("delay holds for %s", d)
	}
	if j.Turnaround = 290 * time.Millisecond; h.dare(0, j) != 160*time.Millisecond {
		t.Error("delay holds for less because of itself")
	}
	both, err := Parse("reconciliation + delay hold=1s")
	if err != nil || both.Name != "delay+reconciliation" || !both.Leader || !both.Hides || both.Apart {
		t.Errorf("two at once: %+v, %v", both, err)
	}
	outer, ok := both.Wrap(&Host{Group: group.MustNew(2, 0), Self: 1, Rand: rand.New(rand.NewPCG(1, 1))}, nil).(*editor)
	if !ok {
		t.Fatal("the one that means something at every replica is not around the one of the leader")
	}
	if d, ok := outer.Machine.(*hoarder); !ok || d.dare(0, core.Judgement{}) != time.Second {
		t.Errorf("inside is %+v", outer.Machine)
	}
	if b, err := Parse("delay patient"); err != nil || b.Wrap(&Host{}, nil).(*hoarder).dare == nil {
		t.Errorf("delay patient: %v", err)
	}
	for text, says := range map[string]string{
		"": "silent-change", "mute+": "no attack is named", "mute+x": "there are", "delay patient hold=1s": "delay does not know", "dalay": "there are", "mute x": "alone", "mute=1": "alone", "delay 5": "share=", "delay share=x": "share=",
		"delay share=-1": "share=", "delay hold=-1s": "hold=", "delay=x": "hold=", "delay hold=2h": "at most",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Parse(%q): %v, want one that says %q", text, err, says)
		}
	}
}
