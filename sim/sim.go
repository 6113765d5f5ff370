// Package sim runs Prime in simulated worlds: replicas, network, clients and attackers in one goroutine and in virtual time,
// with checkers that know what has to hold. One number, the seed, fixes everything that happens in a world: the size of the
// group, the network and its troubles, who crashes, who lies and how, what clients submit and when. The protocol core that
// runs in it is the same code that runs in production.
//
// A world has two phases. In the storm messages are lost, doubled and late, the network is cut and replicas freeze, and only
// safety is demanded: one order, every update at most once, nothing that nobody submitted, no broken promise. Then the world
// is quiet, and, if its leader is sound or can be replaced, everything accepted has to be executed everywhere, and new updates within a bound
// that is the sum of the delays of the network, however the attackers behave.
//
// Simulate your own application under Prime with Options.App: every correct replica gets one, and equal records must give
// equal results, which catches an application that is not deterministic.
package sim

import (
	"io"
	"math/rand/v2"
	"time"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/transport/emulate/wan"
)

// Options say which world to run.
type Options struct {
	Seed uint64
	// App makes the application of each correct replica, 1 … n. nil: there are none.
	App func(replica int) app.Application
	// Payload makes the content of an update of the storm, from a number that the seed fixes; longer ones than the world
	// allows are cut. nil: random bytes.
	Payload func(random uint64) []byte
	// RealSignatures signs everything with Ed25519 instead of a checksum.
	RealSignatures bool
	// Threshold makes real threshold signatures for the worlds in which they challenge new leaders, if RealSignatures is set. nil:
	// there, checksums do.
	Threshold Shares
	// WAN gives the world the links of a profile instead of latencies that the seed draws, and replicas the timers for them. The
	// storm's troubles stay. The profile must fit any number of replicas. nil: the seed decides.
	WAN *wan.Profile
	// Disks makes correct replicas durable, and lets them fall and start again in the storm, some or all of them, in the middle
	// of anything: processes are killed, machines lose power, writes are torn, disks are full.
	Disks bool
	// Attacks are what every attacker of the world does, instead of what the seed draws: names of behaviours, see Attacks. A world
	// whose seed draws no attacker gets one, if its group tolerates any.
	Attacks []string
	// Trace receives one line for everything that happens. nil: nothing is written.
	Trace io.Writer
	// Timeout is how long, in real time, the world may take before that counts as a violation. 0: for ever.
	Timeout time.Duration
}

// Run runs the world of a seed to its end, or to its first violation.
func Run(o Options) Report {
	p := draw(o.Seed)
	p.force(o.Attacks, o.Seed)
	return run(&o, p, newReplica)
}

// newReplica makes a correct replica.
func newReplica(cfg core.Config) (core.Machine, error) { return core.New(cfg) }

// run runs a planned world of any machines.
func run(o *Options, p *plan, machine func(core.Config) (core.Machine, error)) Report {
	if o.WAN != nil {
		p.emulate(o.WAN)
	}
	if o.Disks {
		drawDisks(rand.New(rand.NewPCG(o.Seed, 3)), p)
	}
	p.work.fill(o.Payload, p.limits.UpdateBytes)
	w, err := newWorld(o, p, machine)
	if err != nil {
		return Report{Seed: o.Seed, World: p.String(), Violation: &Violation{Seed: o.Seed, What: "no replica: " + err.Error()}}
	}
	w.print("world %d: %s\n", o.Seed, p)
	w.run()
	return w.report()
}
