package bls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/primebft/prime/threshold"
)

// members makes a ceremony and everybody's private keys.
func members(t testing.TB, n, quorum int) (Ceremony, []ed25519.PrivateKey) {
	t.Helper()
	c := Ceremony{Quorum: quorum}
	var keys []ed25519.PrivateKey
	for range n {
		public, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		dealing, err := DealingKey(key)
		if err != nil {
			t.Fatal(err)
		}
		keys, c.Members = append(keys, key), append(c.Members, Member{Public: public, Dealing: dealing})
	}
	return c, keys
}

// dealings is everybody's dealing.
func (c Ceremony) dealings(t testing.TB, keys []ed25519.PrivateKey) (all [][]byte) {
	t.Helper()
	for i, key := range keys {
		b, err := c.Deal(i+1, key)
		if err != nil {
			t.Fatal(err)
		}
		if Dealer(b) != i+1 || len(b) != DealingSize(c.Quorum, len(c.Members)) {
			t.Fatalf("a dealing of r%d with %d bytes", Dealer(b), len(b))
		}
		all = append(all, b)
	}
	return all
}

// TestCeremony: members who exchange dealings have shares of one key that none of them knows; with any quorum they sign.
func TestCeremony(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{1, 1}, {4, 3}, {6, 4}, {7, 5}} {
		n, quorum := size[0], size[1]
		c, keys := members(t, n, quorum)
		all := c.dealings(t, keys)
		dealt := Keys{}
		for i, key := range keys {
			order := slices.Concat(all[i:], all[:i])
			s, err := c.Finish(i+1, key, order)
			if err != nil {
				t.Fatal(err)
			}
			if dealt.Secrets = append(dealt.Secrets, s.Secret); i == 0 {
				dealt.Public = s.Public
			} else if !reflect.DeepEqual(dealt.Public, s.Public) {
				t.Errorf("r1 and r%d have other public key shares", i+1)
			}
		}
		groups := open(t, dealt, quorum)
		message := []byte("message")
		var ids []int
		var shares []threshold.Signature
		for id := n - quorum + 1; id <= n; id++ {
			ids, shares = append(ids, id), append(shares, groups[id-1].Sign(message))
		}
		if sig, err := groups[0].Combine(ids, shares); err != nil || !groups[0].Verify(message, &sig) {
			t.Errorf("n=%d: the last %d cannot sign: %v", n, quorum, err)
		}
		for i := range dealt.Secrets {
			for _, b := range all {
				if bytes.Contains(b, dealt.Secrets[i]) {
					t.Errorf("the key share of r%d is in a dealing", i+1)
				}
			}
		}
	}
}

// falseDealing is something else than what r2 has dealt, and what r1 says of it.
type falseDealing struct {
	name, want string
	make       func() []byte
}

// TestFalseDealings: whoever deals falsely is named by whom it wrongs, and nothing comes of it.
func TestFalseDealings(t *testing.T) {
	t.Parallel()
	c, keys := members(t, 4, 3)
	all := c.dealings(t, keys)
	for _, test := range append(damagedDealings(t, c, keys, all), lyingDealings(t, c, keys, all)...) {
		given := slices.Clone(all)
		given[1] = test.make()
		s, err := c.Finish(1, keys[0], given)
		if err == nil || !strings.Contains(err.Error(), test.want) || s.Secret != nil {
			t.Errorf("%s: %q is not in: %v", test.name, test.want, err)
		}
	}
	if _, err := c.Finish(1, keys[0], all[:3]); err == nil || !strings.Contains(err.Error(), "the dealing of r4 is missing") {
		t.Errorf("three of four: %v", err)
	}
	if _, err := c.Finish(1, keys[1], all); err == nil || !strings.Contains(err.Error(), "cannot decrypt") {
		t.Errorf("with another's key: %v", err)
	}
	if _, err := c.Finish(5, keys[1], all); err == nil {
		t.Error("r5 of four finishes")
	}
}

// lyingDealings are signed by r2 itself.
func lyingDealings(t *testing.T, c Ceremony, keys []ed25519.PrivateKey, all [][]byte) []falseDealing {
	resign := func(d *dealing) []byte {
		d.signature = ed25519.Sign(keys[d.dealer-1], d.unsigned())
		return d.encode()
	}
	reopen := func() *dealing {
		d, err := c.open(bytes.Clone(all[1]))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	seal := func(d *dealing, v []byte) {
		to, err := kem().NewPublicKey(c.Members[0].Dealing)
		if err == nil {
			d.sealed[0], err = hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), d.context(1), v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return []falseDealing{
		{"wrong value", "that of r2 is false: the value for r1 is not the one", func() []byte {
			d := reopen()
			v := random()
			b := v.Bytes()
			seal(d, b[:])
			return resign(d)
		}},
		{"no scalar", "the value for r1 is no scalar", func() []byte {
			d := reopen()
			seal(d, bytes.Repeat([]byte{255}, SecretSize))
			return resign(d)
		}},
		{"garbage", "r1 cannot decrypt", func() []byte { d := reopen(); d.sealed[0] = make([]byte, sealedSize); return resign(d) }},
		{"swapped values", "r1 cannot decrypt", func() []byte {
			d := reopen()
			d.sealed[0], d.sealed[1] = d.sealed[1], d.sealed[0]
			return resign(d)
		}},
		{"a commitment of another's choice", "does not prove that it knows", func() []byte {
			d := reopen()
			other, err := c.open(all[2])
			if err != nil {
				t.Fatal(err)
			}
			d.commitments[0] = other.commitments[0]
			return resign(d)
		}},
		{"another's proof", "does not prove that it knows", func() []byte {
			d := reopen()
			other, err := c.open(all[2])
			if err != nil {
				t.Fatal(err)
			}
			d.possession = other.possession
			return resign(d)
		}},
	}
}

// damagedDealings are not what r2 signed, or not for this ceremony.
func damagedDealings(t *testing.T, c Ceremony, keys []ed25519.PrivateKey, all [][]byte) []falseDealing {
	return []falseDealing{
		{"damaged", "was not signed by r2", func() []byte { b := bytes.Clone(all[1]); b[200] ^= 1; return b }},
		{"short", "that of r2 is damaged", func() []byte { return all[1][:len(all[1])-1] }},
		{"no dealing", "is not a dealing", func() []byte { return []byte("hello") }},
		{"somebody else's", "two dealings of r3", func() []byte { return all[2] }},
		{"another ceremony", "made for other members", func() []byte {
			fewer := Ceremony{Quorum: 2, Members: c.Members}
			b, err := fewer.Deal(2, keys[1])
			if err != nil {
				t.Fatal(err)
			}
			return b
		}},
	}
}

// TestOtherDealings: members who were given different dealings do not have shares of one key, which their public ones show.
func TestOtherDealings(t *testing.T) {
	t.Parallel()
	c, keys := members(t, 4, 3)
	all := c.dealings(t, keys)
	other := slices.Clone(all)
	var err error
	if other[3], err = c.Deal(4, keys[3]); err != nil {
		t.Fatal(err)
	}
	a, err := c.Finish(1, keys[0], all)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Finish(2, keys[1], other)
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(a.Public, b.Public) {
		t.Error("other dealings, the same keys")
	}
}

// TestMembersRefused: a ceremony that could not end does not begin.
func TestMembersRefused(t *testing.T) {
	t.Parallel()
	c, keys := members(t, 4, 3)
	for want, spoil := range map[string]func(*Ceremony){
		"has no dealing_key":  func(c *Ceremony) { c.Members[2].Dealing = nil },
		"not an X25519":       func(c *Ceremony) { c.Members[2].Dealing = []byte{1} },
		"r3 has no public":    func(c *Ceremony) { c.Members[2].Public = nil },
		"a quorum of 9 of 4":  func(c *Ceremony) { c.Quorum = 9 },
		"a quorum of 0 of 4":  func(c *Ceremony) { c.Quorum = 0 },
		"a quorum of 3 of 65": func(c *Ceremony) { c.Members = slices.Repeat(c.Members, 17)[:65] },
	} {
		bad := Ceremony{Quorum: c.Quorum, Members: slices.Clone(c.Members)}
		spoil(&bad)
		for _, err := range []error{func() error { _, err := bad.Deal(1, keys[0]); return err }(),
			func() error { _, err := bad.Finish(1, keys[0], nil); return err }()} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in: %v", want, err)
			}
		}
	}
	if _, err := DealingKey(nil); err == nil {
		t.Error("a dealing key of no key")
	}
}

// FuzzDealing: whatever a file holds, it is a dealing of its signer or an error.
func FuzzDealing(f *testing.F) {
	c, keys := members(f, 2, 2)
	all := c.dealings(f, keys)
	f.Add(all[0])
	f.Add(all[1][:100])
	f.Add([]byte(fmt.Sprint(domainDealing)))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := c.open(b)
		if err == nil && (!bytes.Equal(d.encode(), b) || Dealer(b) != d.dealer) {
			t.Errorf("%x is encoded as %x", b, d.encode())
		}
	})
}
