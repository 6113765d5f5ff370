package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/primebft/prime/app"
)

const (
	patience   = 10 * time.Second // for f+1 equal states, before another transfer point is wanted
	sendLimit  = 5 * time.Second  // for one state to be sent
	mostBytes  = 16 << 20         // of a state that is taken: nobody is believed more
	mostAtOnce = 16               // states that are taken at once
)

// words is the application. Its replica calls it by one goroutine; what arrives from other applications has a lock.
type words struct {
	self      int
	f         int
	key       ed25519.PrivateKey
	keys      []ed25519.PublicKey // of r1, r2, …
	addresses []string

	count map[string]int

	mu      sync.Mutex
	offers  map[int]offer // the newest of each other application
	arrived chan struct{} // has a token when an offer has come
}

// offer is a state as one application sends it: signed, so that it is one voice and no more.
type offer struct {
	From  int
	At    app.Position // the state is that right after this record
	To    int          // for the application of this replica
	State []byte       // canonical: equal states are equal bytes
	Sig   []byte
}

// statement is what is signed. Its beginning is used for nothing else that the replica's key signs.
func (o *offer) statement() []byte {
	digest := sha256.Sum256(o.State)
	return fmt.Appendf(nil, "own-transfer example\x00%d %s %d %x", o.From, o.At, o.To, digest)
}

func newWords(self, f int, key ed25519.PrivateKey, addresses []string) *words {
	return &words{self: self, f: f, key: key, addresses: addresses, count: map[string]int{}, offers: map[int]offer{},
		arrived: make(chan struct{}, 1)}
}

// Deliver implements app.Application.
func (w *words) Deliver(batch []app.Record) [][]byte {
	results := make([][]byte, len(batch))
	for i, r := range batch {
		if r.Update() {
			w.count[string(r.Payload)]++
			results[i] = strconv.AppendInt(nil, int64(w.count[string(r.Payload)]), 10)
		}
	}
	return results
}

// Reset implements app.Transferrer.
func (w *words) Reset(uint32) { w.count = map[string]int{} }

// Gap implements app.Transferrer. Nothing has to be done: a transfer point follows.
func (w *words) Gap(after, next app.Position) {
	fmt.Printf("the records after %s and before %s are lost; waiting for the state of others\n", after, next)
}

// TransferPoint implements app.Transferrer.
func (w *words) TransferPoint(at app.Position, requester int) error {
	if requester == w.self {
		return w.takeOver(at)
	}
	state, err := json.Marshal(w.count) // JSON writes a map in the order of its keys
	if err != nil {
		return err
	}
	go func() { _ = w.send(offer{From: w.self, At: at, To: requester, State: state}) }() // delivery does not wait for the network
	return nil
}

// send hands a state to the application of another replica. If that does not get it, others do the same, and it asks again.
func (w *words) send(o offer) error {
	o.Sig = ed25519.Sign(w.key, o.statement())
	conn, err := net.DialTimeout("tcp", w.addresses[o.To-1], sendLimit)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(sendLimit))
	return json.NewEncoder(conn).Encode(o)
}

// listen takes states from other applications, until the listener is closed: several at once, so that one that sends nothing holds up no
// other.
func (w *words) listen(l net.Listener) {
	places := make(chan struct{}, mostAtOnce)
	for {
		places <- struct{}{}
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-places }()
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(sendLimit))
			var o offer
			if json.NewDecoder(io.LimitReader(conn, mostBytes)).Decode(&o) == nil {
				w.take(o)
			}
		}()
	}
}

// take remembers an offer, if it is what it says to be: of each application the newest.
func (w *words) take(o offer) {
	if o.To != w.self || o.From < 1 || o.From > len(w.keys) || !ed25519.Verify(w.keys[o.From-1], o.statement(), o.Sig) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, ok := w.offers[o.From]; ok && o.At.Less(before.At) {
		return
	}
	w.offers[o.From] = o
	select {
	case w.arrived <- struct{}{}:
	default:
	}
}

// takeOver waits for f+1 equal states as of a position: one of those who send them is correct.
func (w *words) takeOver(at app.Position) error {
	timeout := time.After(patience)
	for {
		if state := w.agreed(at); state != nil {
			count := map[string]int{}
			if err := json.Unmarshal(state, &count); err != nil {
				return err
			}
			w.count = count
			return nil
		}
		select {
		case <-w.arrived:
		case <-timeout:
			return fmt.Errorf("no %d equal states as of %s within %s", w.f+1, at, patience)
		}
	}
}

// agreed is the state that f+1 applications have as of a position; nil if there is none yet.
func (w *words) agreed(at app.Position) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.offers {
		equal := 0
		for _, other := range w.offers {
			if other.At == at && o.At == at && bytes.Equal(other.State, o.State) {
				equal++
			}
		}
		if equal > w.f {
			return o.State
		}
	}
	return nil
}
