package main

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"time"

	"github.com/primebft/prime"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/emulate"
	"github.com/primebft/prime/transport/emulate/wan"
)

// wanFlag makes the links between replicas those of a wide-area network.
type wanFlag struct {
	WAN string `name:"wan" placeholder:"PROFILE|FILE" help:"For tests: emulate the links between replicas, as lan, us-wide, four-sites or global, or as a TOML file says (docs/testing.md)."`
}

// profile is the network that was asked for, fit for n replicas; nil: no emulation.
func (f wanFlag) profile(n int) (*wan.Profile, error) {
	if f.WAN == "" {
		return nil, nil
	}
	p, err := wan.Find(f.WAN)
	if err == nil {
		err = p.Validate(n)
	}
	if err == nil {
		return &p, nil
	}
	problems := config.Problems(err)
	if len(problems) == 0 {
		return nil, usageError(err)
	}
	for _, problem := range problems {
		if problem.File == "" {
			problem.File = "--wan " + f.WAN
		}
	}
	return nil, err
}

// options make a replica send through the links of the network that was asked for, and one whose strings are pulled through
// links in any case, perfect ones if no others were asked for.
func (f wanFlag) options(cfg config.Config, strings *puppet) ([]prime.Option, error) {
	n := len(cfg.Cluster.Replicas)
	p, err := f.profile(n)
	if err != nil {
		return nil, err
	}
	var list []prime.Option
	if strings != nil {
		list = strings.options()
		if p == nil {
			p = &wan.Profile{}
		}
	}
	if p == nil {
		return nil, nil
	}
	o := emulate.Options{Self: cfg.Node.ID, Replicas: n, Seed: binary.LittleEndian.Uint64(cfg.Cluster.ID[:])}
	return append(list, prime.WithWrappedTransport(func(t transport.Transport) (transport.Transport, error) {
		links, err := emulate.Wrap(t, *p, o)
		if strings != nil && err == nil {
			strings.links = links
		}
		return links, err
	})), nil
}

// far is the one-way delay from which replicas get the timers of a wide-area network.
const far = time.Millisecond

// replicas are the settings and arguments of replicas in that network, of a group of these sizes on this machine.
func (f wanFlag) replicas(sizes group.Group) (node config.Node, args []string, err error) {
	node = config.Local()
	p, err := f.profile(sizes.N())
	if p == nil {
		return node, nil, err
	}
	if p.Slowest(sizes.N()) >= far {
		node = config.WAN()
		node.Network.DSCP = false
		node.Network.DialMin = config.Local().Network.DialMin // connections are made by the machine's own network
	}
	source := f.WAN
	if _, ok := wan.Preset(source); !ok {
		if source, err = filepath.Abs(source); err != nil {
			return node, nil, err
		}
	}
	return node, []string{"--wan", source}, nil
}

// errFloorHasNoWAN is why a floor cannot be measured behind emulated links.
var errFloorHasNoWAN = usageError(errors.New("--wan: the floor and the table are about this machine: leave out --floor and --table"))
