// Package bls is threshold signatures of Boldyreva's kind over BLS12-381, with signatures in G1: 48 bytes, whatever the number
// of replicas. The curve, hashing to it and pairings are gnark-crypto's; polynomials and the making of keys are here.
//
// Keys. F is a polynomial of degree Quorum-1 over the scalars that nobody knows. Replica i has F(i), its public key share is
// F(i) times the generator of G2, and F(0) times it is the group's key, which follows from the public shares. A share of a
// signature is F(i) times the message hashed to G1; Quorum of them give F(0) times it by interpolation.
//
// Where F comes from:
//   - Deal chooses it: for prime init, which makes every other private key too.
//   - Ceremony has every member choose a polynomial and deal its values to the others, encrypted; F is their sum (Pedersen's
//     joint Feldman scheme). Nobody, and no group of fewer than Quorum members, ever knows F(0).
//
// Every point that comes from outside is decoded with the check that it is in the right subgroup, is not the neutral one, and
// has the one encoding that we write. Secrets are multiplied in two random parts, because gnark-crypto's multiplication takes
// a time that depends on the scalar.
package bls
