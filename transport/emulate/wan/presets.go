package wan

import (
	"slices"
	"strings"
	"time"
)

// presets makes the profiles that have a name.
func presets() []Profile {
	return []Profile{lan(), usWide(), fourSites(), global()}
}

// Presets are the names of the profiles that are built in.
func Presets() []string {
	var names []string
	for _, p := range presets() {
		names = append(names, p.Name)
	}
	return names
}

// Preset returns a profile that is built in; false if there is none of that name.
func Preset(name string) (Profile, bool) {
	list := presets()
	i := slices.IndexFunc(list, func(p Profile) bool { return strings.EqualFold(p.Name, name) })
	if i < 0 {
		return Profile{}, false
	}
	return list[i], true
}

// lan is one site with a switch.
func lan() Profile {
	return Profile{Name: "lan", Link: Link{Delay: 100 * time.Microsecond, Rate: Rate{Bits: 1e9, Queue: 50 * time.Millisecond}}}
}

// usWide is the network of the paper's experiments (Amir et al., TDSC 2011, section 7): 50 ms one way between any two replicas,
// about the diameter of the USA, and 10 Mbit/s out of each replica. The long queue stands for that of the sender, whose own
// scheduler is not told the rate.
func usWide() Profile {
	return Profile{Name: "us-wide", Link: Link{Delay: 50 * time.Millisecond}, Uplink: Rate{Bits: 10e6, Queue: 5 * time.Second}}
}

// fourSites are the two control centres and two data centres of Spire (Babay et al., DSN 2018), within 250 miles. The delays are
// ours: light in 130 to 400 km of fibre needs 0.7 to 2 ms, and paths are longer than lines on a map, with routers on the way.
func fourSites() Profile {
	link := func(delay time.Duration) Link {
		return Link{Delay: delay, Jitter: Jitter{Uniform: 300 * time.Microsecond}, Rate: Rate{Bits: 100e6}}
	}
	p := Profile{
		Name: "four-sites", Link: link(4 * time.Millisecond), Inside: lan().Link,
		Sites: []Site{{Name: "control-1"}, {Name: "control-2"}, {Name: "data-1"}, {Name: "data-2"}},
	}
	for _, b := range []struct {
		from, to string
		delay    time.Duration
	}{
		{"control-1", "control-2", 2 * time.Millisecond},
		{"control-1", "data-1", 3 * time.Millisecond},
		{"control-1", "data-2", 5 * time.Millisecond},
		{"control-2", "data-1", 4 * time.Millisecond},
		{"control-2", "data-2", 3 * time.Millisecond},
		{"data-1", "data-2", 4 * time.Millisecond},
	} {
		p.Between = append(p.Between, Between{From: b.from, To: b.to, Link: link(b.delay)})
	}
	return p
}

// global is five regions of the world. The delays are ours, half of round trips as public clouds usually have them.
func global() Profile {
	link := func(ms int) Link {
		return Link{
			Delay: time.Duration(ms) * time.Millisecond, Jitter: Jitter{Mean: 0, Sigma: time.Millisecond}, Rate: Rate{Bits: 100e6},
		}
	}
	p := Profile{
		Name: "global", Link: link(100), Inside: lan().Link,
		Sites: []Site{{Name: "us-east"}, {Name: "europe"}, {Name: "asia"}, {Name: "us-west"}, {Name: "australia"}},
	}
	for _, b := range []struct {
		from, to string
		ms       int
	}{
		{"us-east", "europe", 38}, {"us-east", "asia", 75}, {"us-east", "us-west", 32}, {"us-east", "australia", 100},
		{"europe", "asia", 110}, {"europe", "us-west", 66}, {"europe", "australia", 130},
		{"asia", "us-west", 50}, {"asia", "australia", 54}, {"us-west", "australia", 70},
	} {
		p.Between = append(p.Between, Between{From: b.from, To: b.to, Link: link(b.ms)})
	}
	return p
}
