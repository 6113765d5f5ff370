package main

import (
	"crypto/ed25519"
	"net"
	"testing"

	"github.com/primebft/prime/app"
)

// TestTransfer: an application that knows nothing takes over what f+1 others send alike, although one lies and another sends a state of
// an earlier place.
func TestTransfer(t *testing.T) {
	t.Parallel()
	const f = 1
	var all []*words
	var keys []ed25519.PublicKey
	var addresses []string
	for id := 1; id <= 4; id++ {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		keys, addresses = append(keys, public), append(addresses, l.Addr().String())
		w := newWords(id, f, private, nil)
		all = append(all, w)
		go w.listen(l)
	}
	for _, w := range all {
		w.keys, w.addresses = keys, addresses
	}
	record := func(o uint64, word string) []app.Record {
		return []app.Record{{Ordinal: o, Index: 1, Total: 1, Origin: 1, Client: [32]byte{1}, Payload: []byte(word)}}
	}
	for o, word := range []string{"ja", "nein", "ja"} {
		for _, w := range all[:3] {
			w.Deliver(record(uint64(o+1), word))
		}
	}
	all[0].count["ja"] = 1000 // r1 lies
	at := app.Position{Ordinal: 4, Index: 1}
	if err := all[0].send(offer{From: 2, At: at, To: 4, State: []byte(`{"ja":1000}`)}); err != nil { // and speaks for r2
		t.Fatal(err)
	}
	for range 4 { // somebody connects and says nothing
		silent, err := net.Dial("tcp", addresses[3])
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	for _, w := range all[:3] {
		if err := w.TransferPoint(at, 4); err != nil {
			t.Fatal(err)
		}
	}
	all[3].Gap(app.Position{}, at)
	if err := all[3].TransferPoint(at, 4); err != nil {
		t.Fatal(err)
	}
	if got := all[3].Deliver(record(5, "ja")); string(got[0]) != "3" || all[3].count["nein"] != 1 {
		t.Errorf("%q, %v", got, all[3].count)
	}
}
