package mesh

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/internal/seal"
)

// virtual is two meshes without sockets in virtual time, whose datagrams take a constant time to each other.
type virtual struct {
	meshes [2]*Mesh
	wg     sync.WaitGroup
	mu     sync.Mutex
	left   func(from int, c transport.Class, size int) // called when a datagram leaves; may be nil
	got    func(at int, c transport.Class, frame []byte)
}

// inVirtualTime runs a test on two meshes whose links have a rate and are up.
func inVirtualTime(t *testing.T, bits int64, delay time.Duration, test func(*testing.T, *virtual)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		v := &virtual{}
		exported := make([]byte, seal.SecretSize)
		var peers []Peer
		for id := 1; id <= 2; id++ {
			peers = append(peers, Peer{ID: id, Address: fmt.Sprintf("192.0.2.%d:7100", id), PublicKey: testKey(id).Public().(ed25519.PublicKey)})
		}
		for i := range v.meshes {
			m, err := New(Options{Self: i + 1, Peers: peers, Listen: "192.0.2.1:7100", Key: testKey(i + 1),
				Network:  config.Network{BudgetBytes: 16 << 20, RateBits: bits, ReconShare: 0.2},
				MaxFrame: func(transport.Class) int { return 128 << 10 }})
			if err != nil {
				t.Fatal(err)
			}
			m.pumped = true
			m.handler = func(_ int, c transport.Class, frame []byte) {
				v.mu.Lock()
				defer v.mu.Unlock()
				if v.got != nil {
					v.got(i+1, c, frame)
				}
			}
			v.meshes[i] = m
		}
		for i, m := range v.meshes {
			p, other := m.peers[2-i], v.meshes[1-i]
			m.put = func(c transport.Class, o outgoing) {
				v.mu.Lock()
				if v.left != nil {
					v.left(i+1, c, len(o.packet))
				}
				v.mu.Unlock()
				packet := append([]byte(nil), o.packet...)
				time.AfterFunc(delay, func() {
					_ = other.peers[i+1].lane(c).sessions[0].receive(packet, make([]byte, 0, datagram.Payload))
				})
			}
			for _, c := range datagramClasses {
				l, now := p.lane(c), m.clock.Now()
				s := &session{lane: l, until: clock.Never}
				s.sealer, s.opener = seal.New(now, exported, seal.Lane{Class: c}, i+1, 2-i)
				s.link = datagram.New(now, datagram.Options{Class: c, Secret: [16]byte{byte(i), byte(c)}, Shared: p.shared})
				l.sessions = []*session{s}
			}
		}
		for i, m := range v.meshes {
			for _, c := range datagramClasses {
				l := m.peers[2-i].lane(c)
				v.wg.Go(l.pumpLoop)
				v.wg.Go(l.deliverLoop)
			}
		}
		after(time.Second)
		for i, m := range v.meshes {
			if s := m.Peers()[0]; !s.Datagrams {
				t.Fatalf("r%d: the link does not come up: %+v", i+1, s)
			}
		}
		test(t, v)
		for _, m := range v.meshes {
			m.cancel()
		}
		v.wg.Wait()
	})
}

// TestTimelyOvertakesInDatagrams: on a link with a rate that large frames of other classes saturate, a TIMELY frame leaves after at
// most the packet that is being sent, and one of each class that is certain of a part of the link.
func TestTimelyOvertakesInDatagrams(t *testing.T) {
	const bits = 10_000_000
	packet := time.Duration(datagram.Payload+udpHeader) * 8 * time.Second / bits
	for _, c := range []struct {
		name    string
		classes []transport.Class
		packets int
	}{
		{"bounded", []transport.Class{transport.Bounded}, 1},
		{"bounded and recon", []transport.Class{transport.Bounded, transport.Recon}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inVirtualTime(t, bits, 20*time.Millisecond, func(t *testing.T, v *virtual) {
				var sent time.Time
				var worst time.Duration
				bytes, left, begin := 0, 0, time.Now()
				v.left = func(from int, class transport.Class, size int) {
					if from != 1 {
						return
					}
					bytes += size + udpHeader
					if class == transport.Timely && size > 300 {
						worst, left = max(worst, time.Since(sent)), left+1
					}
				}
				const timely = 1000
				for i := range timely {
					for _, class := range c.classes {
						if i%10 == 0 {
							v.meshes[0].Send(2, numbered(class, i, 60_000))
							v.meshes[0].Send(2, numbered(class, i, 60_000))
						}
					}
					after(time.Duration(7_000_000 + i*1013%997_000))
					v.mu.Lock()
					sent = time.Now()
					v.mu.Unlock()
					v.meshes[0].Send(2, numbered(transport.Timely, i, 300))
				}
				after(100 * time.Millisecond)
				v.mu.Lock()
				defer v.mu.Unlock()
				rate := float64(bytes) * 8 / time.Since(begin).Seconds()
				t.Logf("the worst wait is %v, a packet takes %v; the link is used at %.2f Mbit/s", worst, packet, rate/1e6)
				if left != timely {
					t.Errorf("%d of %d TIMELY frames have left", left, timely)
				}
				if limit := time.Duration(c.packets)*packet + 10*time.Microsecond; worst > limit {
					t.Errorf("a TIMELY frame waits %v; a packet takes %v, and %d may go before it", worst, packet, c.packets)
				}
				if rate < 0.95*bits || rate > 1.02*bits {
					t.Errorf("the link is used at %.2f Mbit/s, its rate is 10", rate/1e6)
				}
			})
		})
	}
}

// TestEverythingGetsThere: frames of every size that go in datagrams arrive in virtual time, at the rate of the link.
func TestEverythingGetsThere(t *testing.T) {
	const bits, frames = 50_000_000, 400
	inVirtualTime(t, bits, 5*time.Millisecond, func(t *testing.T, v *virtual) {
		got, size := map[int]int{}, 0
		v.got = func(at int, c transport.Class, frame []byte) {
			if at == 2 && c == transport.Bounded {
				got[number(frame)]++
				size += len(frame)
			}
		}
		sent := 0
		for i := range frames {
			f := numbered(transport.Bounded, i, 20+i*i%datagram.MaxMessage)
			sent += len(f.Bytes)
			v.meshes[0].Send(2, f)
		}
		after(time.Duration(float64(sent)*8/bits*1.1*1e9) + 200*time.Millisecond)
		v.mu.Lock()
		defer v.mu.Unlock()
		if len(got) != frames || size != sent {
			t.Errorf("%d of %d frames have arrived in time, %d of %d bytes", len(got), frames, size, sent)
		}
		for i, times := range got {
			if times != 1 {
				t.Errorf("frame %d arrived %d times", i, times)
			}
		}
	})
}

// numbered is a frame of a size that begins with a number.
func numbered(c transport.Class, n, size int) transport.Frame {
	b := make([]byte, max(size, 8))
	binary.LittleEndian.PutUint64(b, uint64(n))
	return transport.Frame{Class: c, Source: 1, Bytes: b}
}

func number(frame []byte) int { return int(binary.LittleEndian.Uint64(frame)) }

// after waits for the virtual clock.
func after(d time.Duration) { <-time.After(d) }
