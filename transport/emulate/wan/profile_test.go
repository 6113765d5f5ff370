package wan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/wire"
)

func TestPresets(t *testing.T) {
	t.Parallel()
	if len(Presets()) != 4 {
		t.Errorf("presets are %v", Presets())
	}
	for _, name := range Presets() {
		p, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 4, 7, 12, 64} {
			if err := p.Validate(n); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for a := range p.Sites {
			for b := range a {
				if l := p.between(a+1, b+1); l.Delay != p.between(b+1, a+1).Delay || l.Delay == 0 {
					t.Errorf("%s: r%d and r%d are not equally far from each other", name, a+1, b+1)
				}
			}
		}
	}
	wide, _ := Preset("US-Wide")
	if wide.Slowest(4) != 50*time.Millisecond || wide.Uplink.Bits != 10e6 {
		t.Errorf("%+v", wide)
	}
}

// TestUSWide: the paper's links. A broadcast of one frame to six others leaves at 10 Mbit/s in all, and takes 50 ms.
func TestUSWide(t *testing.T) {
	t.Parallel()
	p, _ := Preset("us-wide")
	r := newRig(t, p, 7, 1)
	for to := 2; to <= 7; to++ {
		r.Offer(0, to, wire.Bounded, 1222, to)
	}
	for i, a := range r.finish() {
		if want := clock.Instant(i+1)*1e6 + 50e6; a.at != want {
			t.Errorf("r%d hears it at %v, want %v", a.to, a.at, want)
		}
	}
}

const wholeFile = `
name = "plant"
[link]
delay = "20ms"
jitter = { mean = "1ms", sigma = "500us" }
loss = { share = 0.02, burst = 5 }
duplicate = 0.001
reorder = true
rate_bits = 10_000_000
burst = 3000
queue = "200ms"
mtu = 9000
[inside]
delay = "100us"
jitter = "50us"
[uplink]
rate_bits = 20_000_000
[[site]]
name = "a"
replicas = [1, 3]
[[site]]
name = "b"
replicas = [2, 4]
[[between]]
from = "a"
to = "b"
one_way = true
loss = 0.5
jitter = ["0s", "3ms"]
[[event]]
at = "10s"
ramp = "2s"
from = [1]
to = [2, 4]
both = true
delay = "80ms"
[[event]]
at = "12s"
down = true
`

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plant.toml")
	if err := os.WriteFile(path, []byte(wholeFile), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := Find(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(4); err != nil {
		t.Fatal(err)
	}
	back, there, near := p.between(2, 1), p.between(1, 2), p.between(1, 3)
	if back.Delay != 20e6 || back.Jitter.Sigma != 5e5 || back.Loss.Bad != 1 || back.Loss.Leave != 0.2 || back.MTU != 9000 ||
		back.Rate != (Rate{Bits: 10e6, Burst: 3000, Queue: 2e8}) || !back.Reorder || back.Duplicate != 0.001 {
		t.Errorf("%+v", back)
	}
	if there.Loss != Bernoulli(0.5) || len(there.Jitter.Table) != 2 || there.Delay != 20e6 || near.Delay != 1e5 || near.Jitter.Uniform != 5e4 {
		t.Errorf("%+v %+v", there, near)
	}
	one, other := p.plan(1, 2, 0), p.plan(2, 1, 0)
	if len(one.steps) != 2 || len(other.steps) != 2 || one.at(11e9).Delay != 50e6 || !one.at(13e9).Down || other.steps[0].at != 10e9 {
		t.Errorf("%+v %+v", one, other)
	}
	if aside := p.plan(1, 3, 0); len(aside.steps) != 1 {
		t.Errorf("%+v", aside)
	}
	mended, err := Parse("x", []byte("preset = \"us-wide\"\n[link]\nloss = 0.01\n"))
	if err != nil || mended.Link.Delay != 50e6 || mended.Link.Loss.Good != 0.01 || mended.Uplink.Bits != 10e6 || mended.Name != "us-wide" {
		t.Errorf("%+v %v", mended, err)
	}
}

// TestDocumentedFile: the example of docs/testing.md is what it says.
func TestDocumentedFile(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(page), "\n    name = ")
	example, _, ended := strings.Cut(example, "\n\nThe emulator")
	if !found || !ended {
		t.Fatal("the example is not where it was")
	}
	p, err := Parse("example", []byte("name = "+strings.ReplaceAll(example, "\n    ", "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(4); err != nil {
		t.Fatal(err)
	}
	if p.between(1, 2).Delay != 100e3 || p.between(4, 1).Delay != 35e6 || len(p.plan(3, 1, 0).steps) != 2 || p.Uplink.Bits != 20e6 {
		t.Errorf("%+v", p)
	}
}

// TestFaults: every fault names its field and what to do about it.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, field, says string }{
		{"[link]\ndelai = \"5ms\"", "link.delai", "no such setting"},
		{"[links]\ndelay = \"5ms\"", "links", "no such setting"},
		{"[link]\ndelay = 5", "link.delay", "write one like"},
		{"[link]\ndelay = \"soon\"", "link.delay", "write one like"},
		{"[link]\ndelay = \"-5ms\"", "link.delay", "is not possible"},
		{"[link]\njitter = { mena = \"1ms\" }", "link.jitter", "mean and sigma"},
		{"[link]\njitter = [\"1ms\", \"x\"]", "link.jitter", "not a duration"},
		{"[link]\nloss = 1.5", "link.loss", "0.01 for 1 %"},
		{"[link]\nloss = nan", "link.loss", "0.01 for 1 %"},
		{"[link]\nloss = { share = 0.5 }", "link.loss", "burst = 5"},
		{"[link]\nloss = { share = 0.9, burst = 1 }", "link.loss", "longer bursts"},
		{"[link]\nloss = { share = 0.1, burst = 0 }", "link.loss", "write a share"},
		{"[link]\nloss = \"much\"", "link.loss", "0.01"},
		{"[link]\nduplicate = -1", "link.duplicate", "probability"},
		{"[link]\nrate_bits = -1", "link.rate_bits", "0 for no limit"},
		{"[link]\nrate_bits = \"10M\"", "link.rate_bits", "int"},
		{"[link]\nburst = -1", "link.burst", "from 0"},
		{"[link]\nmtu = -1", "link.mtu", "0 for no limit"},
		{"[uplink]\nrate_bits = 5", "uplink.rate_bits", "1_000"},
		{"[uplink]\ndelay = \"1ms\"", "uplink.delay", "no such setting"},
		{"[[site]]\nname = \"a\"\nreplicas = [1, 9]", "site[1].replicas", "from 1 to 4"},
		{"[[site]]\nname = \"a\"\nreplicas = [1, 1]", "site[1].replicas", "at one site"},
		{"[[site]]\nname = \"a\"\nreplicas = [1, 2, 3]", "site", "replica 4 is at no site"},
		{"[[site]]\nname = \"a\"\n[[site]]\nname = \"a\"", "site[2].name", "name of its own"},
		{"[[site]]\nname = \"a\"\n[[between]]\nfrom = \"a\"\nto = \"b\"", "between[1].to", "name one of the sites"},
		{"[[event]]\nat = \"-1s\"\ndown = true", "event[1].at", "from 0s"},
		{"[[event]]\nfrom = [7]\ndown = true", "event[1]", "from 1 to 4"},
		{"[[event]]\nloss = 7", "event.loss", "probability"},
		{"preset = \"moon\"", "preset", "us-wide"},
		{"[link", "", "docs/testing.md"},
		{strings.Repeat("#", maxFile+1), "", "right file"},
		{"x = " + strings.Repeat("[", 1e6), "", "right file"},
	} {
		p, err := Parse("p.toml", []byte(c.text))
		if err == nil {
			err = p.Validate(4)
		}
		found := config.Problems(err)
		if len(found) == 0 {
			t.Errorf("%.60q is accepted: %v", c.text, err)
			continue
		}
		if f := found[0]; f.Field != c.field || !strings.Contains(f.What+"; "+f.Remedy, c.says) || f.Remedy == "" {
			t.Errorf("%.60q: %#v", c.text, f)
		}
	}
	if _, err := Find("no such thing"); err == nil || !strings.Contains(err.Error(), "four-sites") {
		t.Errorf("%v", err)
	}
}

// FuzzParse: no text makes the parser panic, and what it accepts can be run.
func FuzzParse(f *testing.F) {
	f.Add([]byte(wholeFile))
	f.Add([]byte("preset = \"global\"\n[[event]]\nat = \"1ms\"\nloss = 1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("p.toml", text)
		if err != nil {
			return
		}
		port, err := NewPort(p, 1, 4, 1, 0, func(clock.Instant, int, int) {})
		if err != nil {
			return
		}
		for i := range 20 {
			port.Offer(clock.Instant(i)*1e8, 2+i%3, wire.Class(1+i%4), 100*i, i)
		}
		port.Advance(clock.Instant(100 * 24 * time.Hour))
	})
}
