package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/threshold"
	"github.com/primebft/prime/threshold/bls"
)

// dealCmd is prime deal.
type dealCmd struct {
	Dir   string   `required:"" help:"The replica's folder, made by prime keygen --proof bls."`
	F     int      `default:"1" help:"How many replicas may be compromised."`
	K     int      `default:"0" help:"How many more may be unavailable."`
	JSON  bool     `name:"json" help:"Print the result as JSON."`
	Files []string `arg:"" name:"file" help:"Everybody's public files, this replica's own among them."`
}

// Help is shown below the flags.
func (*dealCmd) Help() string {
	return `For clusters whose proofs are threshold signatures (--proof bls). Writes DIR/rI.dealing.pem: this replica's part in key shares that
nobody ever knows together. Hand it to every machine as you did the public files, then run prime join on each with all files of both
kinds. A dealing is for these public files, f and k only, and every machine must be given the same one.

Example, on the second of four machines:
  prime keygen --dir /var/lib/prime/r2 --id 2 --host 192.0.2.2 --proof bls
  prime deal --dir /var/lib/prime/r2 --f 1 --k 0 public/*.public.toml
  prime join --dir /var/lib/prime/r2 --f 1 --k 0 --proof bls public/*.public.toml dealings/*.dealing.pem`
}

// Run deals.
func (c *dealCmd) Run(g *globals) error {
	sizes, err := group.New(c.F, c.K)
	if err != nil {
		return usageError(fmt.Errorf("--f, --k: %w", err))
	}
	key, err := config.ReadKey(filepath.Join(c.Dir, config.KeyFile))
	if err != nil {
		return err
	}
	members, err := config.ReadMembers(c.Files)
	if err != nil {
		return err
	}
	if len(members) != sizes.N() || members[len(members)-1].ID != sizes.N() { // ids differ, so they are 1 to n
		return usageError(fmt.Errorf("there are %d public files, but f = %d and k = %d need those of r1 to r%d: give everybody's, and no others",
			len(members), c.F, c.K, sizes.N()))
	}
	self := slices.IndexFunc(members, func(r config.Replica) bool { return r.PublicKey.Equal(key.Public()) })
	if self < 0 {
		return usageError(fmt.Errorf("the public key of %s is in none of the public files: give this replica's own too",
			filepath.Join(c.Dir, config.KeyFile)))
	}
	dealing, err := ceremony(sizes.Quorum(), members).Deal(self+1, key)
	if err != nil {
		return usageError(err)
	}
	path, err := config.WriteDealing(c.Dir, self+1, dealing)
	if err != nil {
		return err
	}
	if c.JSON {
		return g.printJSON(struct {
			ID   int    `json:"id"`
			File string `json:"dealing_file"`
		}{self + 1, path})
	}
	fmt.Fprintf(g.out, "r%d has dealt\nhand this file to every machine, then run prime join --proof bls on each: %s\n", self+1, path)
	return nil
}

// ceremony is how these members make their key shares.
func ceremony(quorum int, members []config.Replica) bls.Ceremony {
	c := bls.Ceremony{Quorum: quorum}
	for _, m := range members {
		c.Members = append(c.Members, bls.Member{Public: m.PublicKey, Dealing: m.DealingKey})
	}
	return c
}

// finishing adds up the dealings in files.
func finishing(files []string) config.SharesFunc {
	return func(quorum int, members []config.Replica, self int, key ed25519.PrivateKey) ([][]byte, []byte, error) {
		var dealings [][]byte
		for _, file := range files {
			b, err := config.ReadDealing(file)
			if err != nil {
				return nil, nil, err
			}
			dealings = append(dealings, b)
		}
		s, err := ceremony(quorum, members).Finish(self, key, dealings)
		if err != nil {
			return nil, nil, usageError(err)
		}
		return s.Public, s.Secret, nil
	}
}

// dealings takes the files of dealings out of a list of files.
func dealings(files []string) (public, dealt []string) {
	for _, f := range files {
		if strings.HasSuffix(f, config.DealingFile) {
			dealt = append(dealt, f)
		} else {
			public = append(public, f)
		}
	}
	return public, dealt
}

// dealtHere makes the key shares of a cluster whose other private keys are all made here too; nil if it has none.
func dealtHere(c *config.Cluster) ([][]byte, error) {
	if c.Proof != config.ProofBLS {
		return nil, nil
	}
	sizes, err := c.Group()
	if err != nil || sizes.N() != len(c.Replicas) {
		return nil, errors.Join(err, c.Validate()) // says what is wrong
	}
	keys, err := bls.Deal(sizes.N(), sizes.Quorum())
	if err != nil {
		return nil, err
	}
	c.Replicas = slices.Clone(c.Replicas)
	for i := range c.Replicas {
		c.Replicas[i].ShareKey = keys.Public[i]
	}
	return keys.Secrets, nil
}

// checkShares finds key shares that are not what they seem, in folders in which nothing else is wrong.
func checkShares(dir string) error {
	folders := []string{dir}
	if _, err := os.Stat(filepath.Join(dir, config.NodeFile)); err != nil {
		folders, _ = filepath.Glob(filepath.Join(dir, "r*"))
	}
	var errs []error
	for _, folder := range folders {
		cfg, err := config.Load(folder)
		if err != nil || cfg.Cluster.Proof != config.ProofBLS {
			continue // config.Check has said what is wrong; what is not a folder of a replica is none of ours
		}
		sizes, err := cfg.Cluster.Group()
		if err != nil {
			continue
		}
		setup := threshold.Setup{Cluster: cfg.Cluster.ID, Quorum: sizes.Quorum(), Self: cfg.Node.ID, Secret: cfg.Share.Secret}
		for _, r := range cfg.Cluster.Replicas {
			setup.Keys = append(setup.Keys, r.ShareKey)
		}
		if _, err := (bls.Scheme{}).Open(setup); err != nil {
			errs = append(errs, &config.Problem{File: filepath.Join(folder, config.ShareFile), What: err.Error()})
		}
	}
	return errors.Join(errs...)
}
