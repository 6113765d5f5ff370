package wire

import (
	"crypto/sha256"
	"encoding/binary"
)

// What is hashed or signed starts with the name of its purpose, so that bytes made for one purpose mean nothing in another.
// Package sign has the domains of the batch tree.
const (
	domainContent      = "prime-content-v1\x00"
	domainIncarnations = "prime-incarnations-v1\x00"
	domainUpdate       = "prime-update-v1\x00"
	domainResolution   = "prime-resolution-v1\x00"
	domainWindow       = "prime-window-v1\x00"
	domainPart         = "prime-part-v1\x00"
	domainPartNode     = "prime-part-node-v1\x00"
)

// contentDigest is SHA-256 over the domain and content. Short contents, which are most, go through one array on the stack.
func contentDigest(content []byte) Digest {
	var short [1024]byte
	if len(domainContent)+len(content) <= len(short) {
		n := copy(short[:], domainContent)
		n += copy(short[n:], content)
		return sha256.Sum256(short[:n])
	}
	h := sha256.New()
	n := copy(short[:], domainContent)
	h.Write(short[:n])
	h.Write(content)
	var d Digest
	h.Sum(d[:0])
	return d
}

// HashIncarnations names a membership: SHA-256 over domain, epoch, number of replicas (u32) and their incarnations by
// group.ID.Index. Votes and acknowledgements carry it and count together only if it is equal.
func HashIncarnations(epoch uint32, incarnations []uint32) Digest {
	b := make([]byte, 0, len(domainIncarnations)+8+4*len(incarnations))
	b = append(b, domainIncarnations...)
	b = binary.LittleEndian.AppendUint32(b, epoch)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(incarnations)))
	for _, v := range incarnations {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return sha256.Sum256(b)
}

// UpdateStatementSize is the length of what a client signs for an update.
const UpdateStatementSize = len(domainUpdate) + 32 + 32 + 8 + 32

// UpdateStatement is what a client signs for an update in the cluster with this id: domain, cluster id, client key, sequence
// number (u64, little-endian) and SHA-256 of the payload. It does not depend on u.Sig.
func UpdateStatement(cluster [32]byte, u *Update) []byte {
	return AppendUpdateStatement(make([]byte, 0, UpdateStatementSize), cluster, u)
}

// AppendUpdateStatement appends UpdateStatement to b.
func AppendUpdateStatement(b []byte, cluster [32]byte, u *Update) []byte {
	b = append(b, domainUpdate...)
	b = append(b, cluster[:]...)
	b = append(b, u.Client[:]...)
	b = binary.LittleEndian.AppendUint64(b, u.Seq)
	sum := sha256.Sum256(u.Payload)
	return append(b, sum[:]...)
}
