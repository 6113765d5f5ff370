package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Digest is a hash over what replicas must agree on: name, id, epoch, sizes, authentication, the verification rule, clients,
// limits, the form of proofs, and the replicas' ids, keys and key shares. It does not cover addresses, nor anything of Node, so these can be changed one
// replica at a time. Replicas exchange it when they connect; the order of clients and replicas makes no difference.
func (c Cluster) Digest() [32]byte {
	b := []byte("prime: cluster configuration, version 1\x00")
	u64 := func(n int) { b = binary.LittleEndian.AppendUint64(b, uint64(n)) }
	str := func(s string) { u64(len(s)); b = append(b, s...) }
	str(c.Name)
	b = append(b, c.ID[:]...)
	b = binary.LittleEndian.AppendUint32(b, c.Epoch)
	u64(c.F)
	u64(c.K)
	str(string(c.Auth))
	str(c.Verification)
	if c.AnyClient {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	clients := slices.Clone(c.Clients)
	slices.SortFunc(clients, func(x, y [32]byte) int { return bytes.Compare(x[:], y[:]) })
	u64(len(clients))
	for _, key := range clients {
		b = append(b, key[:]...)
	}
	for _, limit := range []int{c.Limits.UpdateBytes, c.Limits.RequestBytes, c.Limits.RequestUpdates, c.Limits.InFlight,
		c.Limits.Sessions, c.Limits.SessionWindow, c.Limits.OrdinalWindow, c.Limits.History, c.Limits.CheckpointOrdinals, c.Limits.CheckpointBytes} {
		u64(limit)
	}
	if c.Limits.Recon {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	replicas := slices.Clone(c.Replicas)
	slices.SortFunc(replicas, func(x, y Replica) int { return x.ID - y.ID })
	u64(len(replicas))
	for _, r := range replicas {
		u64(r.ID)
		str(string(r.PublicKey))
	}
	if c.threshold() {
		str(string(c.Proof))
		for _, r := range replicas {
			str(string(r.ShareKey))
		}
	}
	return sha256.Sum256(b)
}
