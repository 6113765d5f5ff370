package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Join makes the replica in dir, whose key Keygen made there, a member of a cluster: from everybody's public files it writes
// cluster.toml and node.toml. c says what is not in those files: name, f, k, auth, clients, limits. Whoever is given the same
// files and the same c, in any order, writes the same cluster.toml: the cluster's id is a hash of them. Input that does not
// fit together is refused by name, and nothing is written then.
func Join(dir string, c Cluster, node Node, files []string) (Config, error) {
	return JoinWith(dir, c, node, files, nil)
}

// JoinWith is Join for a cluster whose proofs are threshold signatures, whose key shares are made by shares. The cluster's id is
// a hash of the public ones too.
func JoinWith(dir string, c Cluster, node Node, files []string, shares SharesFunc) (Config, error) {
	if p := reachable(dir); p != nil {
		p.Remedy = "make the folder with prime keygen first"
		return Config{}, p
	}
	for _, name := range []string{ClusterFile, NodeFile, ShareFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return Config{}, &Problem{File: filepath.Join(dir, name), What: "it exists already: this replica has joined a cluster",
				Remedy: "nothing was touched; make a new folder with prime keygen to join another"}
		}
	}
	key, err := ReadKey(filepath.Join(dir, KeyFile))
	if err != nil {
		return Config{}, err
	}
	members, err := ReadMembers(files)
	if err != nil {
		return Config{}, err
	}
	if c.Proof == "" {
		c.Proof = ProofList
	}
	c.Replicas = members
	c.Epoch, c.Verification = 1, VerificationRule
	own := slices.IndexFunc(members, func(r Replica) bool { return r.PublicKey.Equal(key.Public()) })
	if own < 0 {
		return Config{}, &Problem{File: filepath.Join(dir, KeyFile), What: "its public key is in none of the public files",
			Remedy: "give this replica's own public file too"}
	}
	node.ID = members[own].ID
	joined := Config{Cluster: c, Node: node, Key: key, Dir: dir}
	if c.threshold() {
		if err := joined.makeShares(shares); err != nil {
			return Config{}, err
		}
	}
	joined.Cluster.ID = joinID(joined.Cluster)
	for i := range joined.Cluster.Replicas {
		joined.Cluster.Replicas[i].DealingKey = nil // it has served
	}
	if err := joined.Validate(); err != nil {
		return Config{}, err
	}
	return joined, joined.store()
}

// makeShares has the key shares made, of members that fit everything else.
func (c *Config) makeShares(shares SharesFunc) error {
	plain := *c
	plain.Cluster.Proof, plain.Cluster.ID = ProofList, [32]byte{1}
	if err := plain.Validate(); err != nil {
		return err
	}
	g, err := c.Cluster.Group()
	if err != nil {
		return err
	}
	if shares == nil {
		return fault("proof", "use prime join, or set it to \"list\"", "%q needs key shares, and nothing is given that makes them", c.Cluster.Proof)
	}
	public, secret, err := shares(g.Quorum(), c.Cluster.Replicas, c.Node.ID, c.Key)
	if err != nil {
		return err
	}
	if len(public) != len(c.Cluster.Replicas) {
		return fmt.Errorf("%d public key shares were made for %d replicas", len(public), len(c.Cluster.Replicas))
	}
	for i := range public {
		c.Cluster.Replicas[i].ShareKey = public[i]
	}
	c.Share = Share{Public: public[c.Node.ID-1], Secret: secret}
	return nil
}

// store writes what Join decided, all files or none.
func (c Config) store() error {
	cluster, node, share := filepath.Join(c.Dir, ClusterFile), filepath.Join(c.Dir, NodeFile), filepath.Join(c.Dir, ShareFile)
	if err := writeNew(node, c.Node.Encode(), 0o644); err != nil {
		return unwritable(node, err)
	}
	if c.Cluster.threshold() {
		if err := WriteShare(share, c.Share, fmt.Sprintf("replica r%d", c.Node.ID)); err != nil {
			os.Remove(node)
			return unwritable(share, err)
		}
	}
	if err := writeNew(cluster, c.Cluster.Encode(), 0o644); err != nil {
		os.Remove(node)
		if c.Cluster.threshold() {
			os.Remove(share)
		}
		return unwritable(cluster, err)
	}
	return syncDir(c.Dir)
}

// unwritable is the fault of a file that cannot be made.
func unwritable(file string, err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist) {
		return &Problem{File: file, What: "it cannot be made: " + reason(err), Remedy: "run as the owner of the folder"}
	}
	return fmt.Errorf("%s: %w", file, err)
}

// ReadMembers reads everybody's public files; the result is by ascending id. What two files disagree about is named.
func ReadMembers(files []string) ([]Replica, error) {
	var (
		members []Replica
		errs    []error
		from    = map[string]string{} // which file an id, a key or an address is from
	)
	claim := func(file, field, what, key string) {
		if first, again := from[key]; again {
			errs = append(errs, &Problem{File: file, Field: field, What: fmt.Sprintf("%s is in %s too", what, first),
				Remedy: "give each replica's public file once, and make sure that each replica ran prime keygen with its own --id"})
			return
		}
		from[key] = file
	}
	for _, file := range files {
		r, err := loadFile(file, ParsePublic)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		claim(file, "id", fmt.Sprintf("r%d", r.ID), fmt.Sprintf("id %d", r.ID))
		claim(file, "public_key", "its key", "key "+string(r.PublicKey))
		claim(file, "peers", r.PeerAddress, "at "+sameAddress(r.PeerAddress))
		claim(file, "clients", r.ClientAddress, "at "+sameAddress(r.ClientAddress))
		members = append(members, r)
	}
	if len(errs) == 0 {
		errs = append(errs, mixedLoopback(files, members))
	}
	slices.SortFunc(members, func(a, b Replica) int { return cmp.Compare(a.ID, b.ID) })
	return members, errors.Join(errs...)
}

// mixedLoopback finds replicas that only their own machine can reach in a cluster of several machines.
func mixedLoopback(files []string, members []Replica) error {
	var problems []*Problem
	for i, r := range members {
		if loopback(r.PeerAddress) {
			problems = append(problems, &Problem{File: files[i], Field: "peers",
				What:   fmt.Sprintf("%s cannot be reached from other machines, where other replicas are", r.PeerAddress),
				Remedy: fmt.Sprintf("run prime keygen for r%d with --host", r.ID)})
		}
	}
	if len(problems) == len(members) {
		return nil
	}
	return join(problems)
}

// joinID is the id of a cluster that its members make together: a hash of everything they agreed on and of the replicas'
// addresses.
func joinID(c Cluster) [32]byte {
	digest := c.Digest() // over an id that is still zero
	b := append([]byte("prime: cluster made by prime join\x00"), digest[:]...)
	for _, r := range c.Replicas {
		b = append(b, r.EncodePublic()...)
		b = append(b, 0)
	}
	return sha256.Sum256(b)
}

// ReadClients reads who may be a client: one public key a line, 64 hexadecimal digits, with an optional comment after #.
func ReadClients(file string) ([][32]byte, error) { return loadFile(file, parseClients) }

// parseClients is ReadClients for text that has been read.
func parseClients(file string, data []byte) ([][32]byte, error) {
	clients := [][32]byte{}
	if len(data) > maxFile {
		return nil, &Problem{File: file, What: "it is larger than " + sizeText(maxFile), Remedy: "is it the right file?"}
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		content, _, _ := bytes.Cut(line, []byte("#"))
		content = bytes.TrimSpace(content)
		if len(content) == 0 {
			continue
		}
		var key []byte
		v := hex32{func() []byte { return key }, func(b []byte) { key = b }}
		if p := v.set(string(content)); p != nil {
			p.File, p.Line = file, i+1
			return nil, p
		}
		if p := v.check(); p != nil {
			p.File, p.Line = file, i+1
			return nil, p
		}
		clients = append(clients, [32]byte(key))
	}
	return clients, nil
}
