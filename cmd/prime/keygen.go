package main

import (
	"crypto/ed25519"
	"fmt"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/threshold/bls"
)

// keygenCmd is prime keygen.
type keygenCmd struct {
	Dir      string `required:"" help:"The replica's folder to make; it must not exist."`
	ID       int    `name:"id" required:"" help:"Which replica this is: 1 to n."`
	Host     string `default:"127.0.0.1" help:"Address or name at which the other machines reach this one."`
	BasePort int    `default:"7100" help:"Replica i listens on BASE+2(i-1) for replicas and on the next port for clients."`
	Proof    string `enum:"list,bls" default:"list" help:"As for prime join; with bls the public file says how to encrypt to this replica."`
	JSON     bool   `name:"json" help:"Print the result as JSON."`
}

// Help is shown below the flags.
func (*keygenCmd) Help() string {
	return `Writes DIR/replica.key, which never leaves this machine, and DIR/rI.public.toml, which goes to all the others. When every
machine has everybody's public file, run prime join on each; with --proof bls, prime deal and then prime join.

Example, on the second of four machines:
  prime keygen --dir /var/lib/prime/r2 --id 2 --host 192.0.2.2`
}

// Run makes the key.
func (c *keygenCmd) Run(g *globals) error {
	if c.ID < 1 || c.ID > group.MaxReplicas {
		return usageError(fmt.Errorf("--id %d: write a number from 1 to %d", c.ID, group.MaxReplicas))
	}
	var dealing func(ed25519.PrivateKey) ([]byte, error)
	next := "prime join"
	if config.Proof(c.Proof) == config.ProofBLS {
		dealing, next = bls.DealingKey, "prime deal"
	}
	r, public, err := config.KeygenWith(c.Dir, config.Addresses(c.ID, c.BasePort, config.Host{Host: c.Host}), dealing)
	if err != nil {
		return err
	}
	if c.JSON {
		view := viewOf(r)
		view.Dir = c.Dir
		return g.printJSON(struct {
			replicaView
			PublicFile string `json:"public_file"`
		}{view, public})
	}
	fmt.Fprintf(g.out, "made %s: private key of r%d\nhand this file to every machine, then run %s on each: %s\n", c.Dir, c.ID, next, public)
	return nil
}
