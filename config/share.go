package config

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"os"
)

// Proof is the form of what challenges a new leader: the proof that a quorum agrees on how its view has to begin.
type Proof string

// The forms of proofs.
const (
	ProofList Proof = "list" // a list of the replicas' signatures; needs no other keys
	ProofBLS  Proof = "bls"  // one threshold signature of package threshold/bls; every replica has a key share
)

// DealingFile is the end of the name of a file with a replica's dealing: see SharesFunc.
const DealingFile = ".dealing.pem"

// publicShare is the length of a public key share, secretShare that of a private one, bytes.
const (
	publicShare = 96
	secretShare = 32
)

// Share is a replica's key share, and the public half by which it is known in cluster.toml.
type Share struct {
	Public []byte // share_key of the replica
	Secret []byte
}

// String does not show the share.
func (Share) String() string { return "key share" }

// GoString does not show it either.
func (Share) GoString() string { return "key share" }

// SharesFunc makes the key shares of a cluster of these members, by ascending id, for replica self, whose private key is given:
// everybody's public ones and its own. Quorum of them can sign. The members' DealingKeys are set if their public files have them.
type SharesFunc func(quorum int, members []Replica, self int, key ed25519.PrivateKey) (public [][]byte, secret []byte, err error)

// pemShare is the label of a key share, and pemPublic of its public half in the header.
const (
	pemShare  = "PRIME PRIVATE KEY SHARE"
	pemPublic = "Share-Key"
)

// WriteShare writes a replica's key share to a new file that only its owner can read, as WriteKey does.
func WriteShare(path string, s Share, who string) error {
	text := fmt.Appendf(nil, "Key share of %s (BLS12-381). It belongs to one cluster only: keep it here, mode 0600.\n", who)
	block := pem.Block{Type: pemShare, Headers: map[string]string{pemPublic: hex.EncodeToString(s.Public)}, Bytes: s.Secret}
	return writeNew(path, append(text, pem.EncodeToMemory(&block)...), 0o600)
}

// ReadShare reads what WriteShare wrote, and refuses a file that anybody but its owner can read or write. Errors never show
// the content.
func ReadShare(path string) (Share, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return Share{}, &Problem{File: path, What: "it is not a file", Remedy: "put the replica's key share there"}
	}
	f, err := os.Open(path)
	if err != nil {
		return Share{}, unreadable(path, err, "put the key share back that prime init or prime join wrote there; without it, make the "+
			"cluster again")
	}
	defer f.Close()
	if p := private(path, f); p != nil {
		return Share{}, p
	}
	data, err := io.ReadAll(io.LimitReader(f, 16*kib))
	if err != nil {
		return Share{}, unreadable(path, err, "")
	}
	return parseShare(path, data)
}

// parseShare is ReadShare for text that has been read.
func parseShare(path string, data []byte) (Share, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemShare || len(block.Bytes) != secretShare {
		return Share{}, &Problem{File: path, What: "it is not a key share", Remedy: "put the file back that prime wrote"}
	}
	public, err := hex.DecodeString(block.Headers[pemPublic])
	if err != nil || len(public) != publicShare {
		return Share{}, &Problem{File: path, What: "it does not say which key share it is", Remedy: "put the file back that prime wrote"}
	}
	return Share{Public: public, Secret: block.Bytes}, nil
}

// threshold reports whether the cluster has key shares.
func (c Cluster) threshold() bool { return c.Proof != "" && c.Proof != ProofList }

// checkShares finds replicas without a key share that need one, and such that have one and need none.
func (c Cluster) checkShares() []*Problem {
	var problems []*Problem
	seen := map[string]string{}
	for i := range c.Replicas {
		key, at := c.Replicas[i].ShareKey, element("replica", i+1)+".share_key"
		switch {
		case c.threshold() && len(key) == 0:
			problems = append(problems, fault(at, "take cluster.toml as prime wrote it, or set proof = \"list\" at every replica",
				"it is missing, and proof = %q needs one", c.Proof))
		case !c.threshold() && len(key) > 0:
			problems = append(problems, fault(at, "remove it, or set proof = \"bls\" at every replica", "proof = \"list\" has no key shares"))
		}
		problems = append(problems, repeated(seen, string(key), at, "take cluster.toml as prime wrote it")...)
	}
	return problems
}

// checkShare finds whether the replica has the key share that the cluster knows of it.
func (c Config) checkShare(self Replica) []*Problem {
	switch {
	case !c.Cluster.threshold():
		return nil
	case len(c.Share.Secret) != secretShare:
		return []*Problem{{File: ShareFile, What: fmt.Sprintf("there is no key share, and proof = %q needs one", c.Cluster.Proof),
			Remedy: "put the replica's own share.key into its folder"}}
	case len(self.ShareKey) > 0 && !bytes.Equal(c.Share.Public, self.ShareKey):
		return []*Problem{{File: ShareFile,
			What:   fmt.Sprintf("wrong key share: it does not belong to the share_key of r%d in %s, but to another replica or cluster", self.ID, ClusterFile),
			Remedy: "put the replica's own share.key into its folder"}}
	}
	return nil
}

// hexBytes is so many bytes as hexadecimal digits, or nothing.
type hexBytes struct {
	p *[]byte
	n int
}

func (v hexBytes) set(raw any) *Problem {
	s, ok := raw.(string)
	b, err := hex.DecodeString(s)
	if !ok || err != nil || len(b) != v.n {
		return wrongType(raw, fmt.Sprintf("%d hexadecimal digits in quotes", 2*v.n))
	}
	*v.p = b
	return nil
}

func (v hexBytes) check() *Problem {
	if n := len(*v.p); n != 0 && n != v.n {
		return fault("", fmt.Sprintf("write %d hexadecimal digits in quotes", 2*v.n), "it is %d bytes long", n)
	}
	return nil
}

func (v hexBytes) literal() string { return quote(hex.EncodeToString(*v.p)) }
