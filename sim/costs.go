package sim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/parts"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/internal/wire"
)

// Costs are the times that one processor needs for what a replica does.
type Costs struct {
	Sign    time.Duration `json:"sign_ns"`    // one signature
	Verify  time.Duration `json:"verify_ns"`  // one signature
	Hash    time.Duration `json:"hash_ns"`    // to hash 1 KiB, and to encode, decrypt or decode it
	Code    time.Duration `json:"code_ns"`    // to cut 1 KiB of a request into parts, or to put it together
	Step    time.Duration `json:"step_ns"`    // one step of the protocol core
	Frame   time.Duration `json:"frame_ns"`   // to write or read one message
	Execute time.Duration `json:"execute_ns"` // one update: to remember it, and to hand it over
}

// DefaultCosts were measured with Calibrate on the machine of docs/performance.md, and rounded.
func DefaultCosts() Costs {
	return Costs{
		Sign: 23 * time.Microsecond, Verify: 50 * time.Microsecond, Hash: 1500 * time.Nanosecond, Code: 1500 * time.Nanosecond, Step: time.Microsecond,
		Frame: 8 * time.Microsecond, Execute: 3 * time.Microsecond,
	}
}

// rounds is how often Calibrate does what it measures; each figure is the least of many such series, short ones, as whatever else the
// machine does can only add to it.
const rounds, series = 10, 300

// Calibrate measures the costs on this machine. A frame is a write to a connection of the loopback interface and the read at its
// other end.
func Calibrate() (Costs, error) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	message, block := make([]byte, 100), make([]byte, 1024)
	scheme := sign.Ed25519{}
	sig := scheme.Sign(key, message)
	public := key.Public().(ed25519.PublicKey)
	write, end, err := loopback()
	if err != nil {
		return Costs{}, fmt.Errorf("calibrate: %w", err)
	}
	defer end()
	c := Costs{
		Sign:   least(func() { sig = scheme.Sign(key, message) }),
		Verify: least(func() { scheme.Verify(public, message, &sig) }),
		Hash:   least(func() { copyOf(block) }),
		Frame:  least(write),
	}
	if c.Code, err = codeCost(); err == nil {
		c.Step, c.Execute, err = stepCosts()
	}
	return c, err
}

// codeCost is what the mean of cutting and joining takes for each KiB, in a group of seven.
func codeCost() (time.Duration, error) {
	g := group.MustNew(2, 0)
	code, err := parts.New(g)
	if err != nil {
		return 0, err
	}
	const kib = 16
	e := wire.NewEnvelope(wire.Header{Sender: 1}, &wire.PreorderRequest{Seq: 1, Updates: []wire.Update{{Payload: make([]byte, kib<<10)}}})
	e.Finish(wire.Proof{Count: 1})
	var recons []*wire.Envelope
	for id := group.ID(g.N()); len(recons) < g.OneCorrect(); id-- {
		recons = append(recons, wire.NewEnvelope(wire.Header{Sender: id}, &wire.Parts{List: []wire.Part{*code.Cut(e, id)}}))
	}
	id := wire.PreorderID{Origin: 1, Position: wire.Position{Seq: 1}}
	return (least(func() { code.Cut(e, 1) }) + least(func() { code.Join(id, recons) })) / (2 * kib), nil
}

// copyOf is what happens to the bytes of a message: hashed at one end and at the other, and copied a few times.
func copyOf(block []byte) (sum [2]wire.Digest) {
	for i := range sum {
		block = append([]byte(nil), block...)
		sum[i] = sha256.Sum256(block)
	}
	return sum
}

// least is the least mean time of a series of rounds.
func least(do func()) time.Duration {
	best := time.Hour
	for range series {
		begin := time.Now()
		for range rounds {
			do()
		}
		best = min(best, time.Since(begin)/rounds)
	}
	return best
}

// loopback returns a function that sends 300 bytes over a connection of this machine and waits until they are there.
func loopback() (write, end func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = l.Close() }()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	in, err := l.Accept()
	if err != nil {
		_ = out.Close()
		return nil, nil, err
	}
	sent, received := make([]byte, 300), make([]byte, 300)
	write = func() {
		if _, err := out.Write(sent); err == nil {
			_, _ = io.ReadFull(in, received)
		}
	}
	return write, func() { _, _ = out.Close(), in.Close() }, nil
}

// stepCosts measures the core itself in a short experiment with and without load: what a step takes, and what each update adds to
// it.
func stepCosts() (step, update time.Duration, err error) {
	var took [2]time.Duration
	var steps, updates [2]int
	for i, clients := range []int{1, 2000} {
		e := PaperExperiment(4, clients)
		e.WarmUp, e.Measure = 0, 3*time.Second
		e.Costs = Costs{}
		t, err := e.trial()
		if err != nil {
			return 0, 0, err
		}
		t.stopwatch = true
		if _, err := t.measure(); err != nil {
			return 0, 0, err
		}
		took[i], steps[i], updates[i] = t.stepTime, t.steps, t.executions
	}
	step = took[0] / time.Duration(max(1, steps[0]))
	rest := took[1] - time.Duration(steps[1])*step
	return step, max(0, rest/time.Duration(max(1, updates[1]))), nil
}
