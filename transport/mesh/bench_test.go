//go:build unix

package mesh

import (
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/transport"
	"github.com/primebft/prime/transport/transporttest"
)

// roundBytes is how much goes over the mesh and over plain TLS in turn.
const roundBytes = 16 << 20

// BenchmarkThroughput sends frames over the mesh and the same bytes over plain TLS, in turn, so that both see the same
// machine, and reports the ratio of the medians. One operation is one round of each. The process holds on to some memory, as
// a replica does: with an empty heap the garbage collector would run for every few hundred frames.
func BenchmarkThroughput(b *testing.B) {
	ballast := make([]byte, 64<<20)
	defer runtime.KeepAlive(ballast)
	for _, size := range []int{300, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			viaMesh, viaTLS := meshPipe(b, size, config.DatagramsOff), tlsPipe(b)
			viaMesh()
			viaTLS()
			var mesh, plain, meshCPU, plainCPU []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start, startCPU := time.Now(), processorTime()
				viaMesh()
				middle, middleCPU := time.Now(), processorTime()
				viaTLS()
				mesh, plain = append(mesh, middle.Sub(start)), append(plain, time.Since(middle))
				meshCPU, plainCPU = append(meshCPU, middleCPU-startCPU), append(plainCPU, processorTime()-middleCPU)
			}
			m, p := median(mesh), median(plain)
			b.ReportMetric(float64(p)/float64(m), "ratio")
			b.ReportMetric(float64(median(plainCPU))/float64(median(meshCPU)), "cpu-ratio")
			b.ReportMetric(roundBytes/m.Seconds()/1e6, "meshMB/s")
			b.ReportMetric(roundBytes/p.Seconds()/1e6, "tlsMB/s")
			b.ReportMetric(float64(m.Nanoseconds())/(roundBytes/float64(size)), "ns/frame")
		})
	}
}

// BenchmarkDatagrams sends frames over a mesh in sealed datagrams and over one by TLS, in turn, and reports how much more of the
// processors a frame takes in datagrams, both ends together.
func BenchmarkDatagrams(b *testing.B) {
	ballast := make([]byte, 64<<20)
	defer runtime.KeepAlive(ballast)
	for _, size := range []int{300, 1400, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			inDatagrams, byTLS := meshPipe(b, size, config.DatagramsAuto), meshPipe(b, size, config.DatagramsOff)
			inDatagrams()
			byTLS()
			var d, s []time.Duration
			for b.Loop() {
				start := processorTime()
				inDatagrams()
				middle := processorTime()
				byTLS()
				d, s = append(d, middle-start), append(s, processorTime()-middle)
			}
			frames := float64(roundBytes / size)
			b.ReportMetric(float64(median(d))/frames, "cpu-ns/frame")
			b.ReportMetric(float64(median(s))/frames, "tls-cpu-ns/frame")
			b.ReportMetric(float64(median(d))/float64(median(s)), "cpu-ratio")
		})
	}
}

// processorTime is what this process has used of the processors.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// meshPipe connects two replicas and returns a function that sends a round from one to the other.
func meshPipe(b *testing.B, size int, datagrams config.Datagrams) func() {
	c := newCluster(b, 2)
	var got atomic.Int64
	progress := make(chan struct{}, 1)
	meshes := make([]*Mesh, 2)
	for i := range meshes {
		o := c.options(i + 1)
		o.Network.BudgetBytes, o.Network.Datagrams = 64<<20, datagrams
		m, err := New(o)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Start(func(_ int, _ transport.Class, bytes []byte) {
			if total := got.Add(int64(len(bytes))); total%(1<<18) < int64(len(bytes)) {
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		}); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = m.Close() })
		meshes[i] = m
	}
	transporttest.Eventually(b, "the connection", func() bool {
		p := meshes[0].Peers()[0]
		return p.Connected && p.Datagrams == (datagrams == config.DatagramsAuto)
	})
	frame := transport.Frame{Class: transport.Bounded, Source: 1, Bytes: make([]byte, size)}
	const window = 2 << 20 // bytes under way
	sent := int64(0)
	return func() {
		for end := sent + roundBytes/int64(size)*int64(size); sent < end; sent += int64(size) {
			for sent-got.Load() > window {
				<-progress
			}
			meshes[0].Send(2, frame)
		}
		for got.Load() < sent {
			select {
			case <-progress:
			case <-time.After(100 * time.Microsecond):
			}
		}
	}
}

// tlsPipe makes a plain TLS connection with the same settings and returns a function that copies a round over it.
func tlsPipe(b *testing.B) func() {
	cert, err := certificate(testKey(1))
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		defer raw.Close()
		server := tls.Server(raw, baseConfig(cert))
		buf := make([]byte, 64<<10)
		for {
			for got := 0; got < roundBytes; {
				n, err := server.Read(buf)
				if err != nil {
					return
				}
				got += n
			}
			done <- struct{}{}
		}
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	key := testKey(1).Public().(ed25519.PublicKey)
	config := dialConfig(cert, key, "none")
	config.VerifyConnection = nil
	client := tls.Client(raw, config)
	b.Cleanup(func() { _, _ = raw.Close(), l.Close() })
	buf := make([]byte, 64<<10)
	return func() {
		for range roundBytes / len(buf) {
			if _, err := client.Write(buf); err != nil && err != io.EOF {
				b.Error(err)
				return
			}
		}
		<-done
	}
}
