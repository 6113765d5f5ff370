package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/primebft/prime/transport"
)

// slabSize is how much memory small frames share. Whoever keeps one frame keeps its slab, so it is not larger.
const slabSize = 32 << 10

// aloneSize is from which size a frame has memory of its own.
const aloneSize = slabSize / 4

// leastRoom is how much room a read should have, so that one read takes much.
const leastRoom = 4 << 10

// stallTimeout is how long a peer may stop in the middle of a large frame: its memory is already spent.
const stallTimeout = 30 * time.Second

// errFrame is a frame that no correct peer sends.
var errFrame = errors.New("invalid frame")

func (l *lane) readLoop() {
	var last *link
	for {
		link := l.await(last)
		if link == nil {
			return
		}
		err := l.read(link)
		if errors.Is(err, errFrame) {
			l.peer.refused.Add(1)
			l.peer.mesh.warn(l.peer.ID, "refused a frame", slog.String("class", l.class.String()), slog.String("cause", err.Error()))
		}
		l.lost(link, err)
		last = link
	}
}

// read hands frames of a link to the handler until the link fails.
func (l *lane) read(link *link) error {
	p := l.peer
	r := reader{in: link.conn, raw: link.raw, most: p.limits[l.class-1]}
	for {
		frame, err := r.next()
		if err != nil {
			return err
		}
		l.recvBytes.Add(uint64(lengthSize + len(frame)))
		if len(frame) == 0 {
			if l.class != transport.Recon || !p.dials() {
				return fmt.Errorf("%w: it is empty", errFrame)
			}
			p.lane(transport.Bulk).want()
			continue
		}
		l.deliver(frame, link)
	}
}

// reader cuts a stream into frames. Memory is never reused, so that frames can be kept for ever.
type reader struct {
	in         io.Reader
	raw        net.Conn // for deadlines; nil: none
	most       int      // largest frame, bytes
	slab       []byte
	start, end int // what has been read and not been handed out
}

// next is the next frame; empty for a length of zero.
func (r *reader) next() ([]byte, error) {
	for r.end-r.start < lengthSize {
		if err := r.fill(lengthSize); err != nil {
			return nil, err
		}
	}
	length := binary.LittleEndian.Uint32(r.slab[r.start:])
	if uint64(length) > uint64(r.most) {
		return nil, fmt.Errorf("%w: its length is %d bytes, the most is %d", errFrame, length, r.most)
	}
	n := int(length)
	r.start += lengthSize
	if n >= aloneSize {
		return r.alone(n)
	}
	for r.end-r.start < n {
		if err := r.fill(n); err != nil {
			return nil, err
		}
	}
	frame := r.slab[r.start : r.start+n : r.start+n]
	r.start += n
	return frame, nil
}

// fill reads more. The slab has room for need bytes from start afterwards.
func (r *reader) fill(need int) error {
	if r.start+need > len(r.slab) || len(r.slab)-r.end < leastRoom {
		slab := make([]byte, slabSize)
		r.end = copy(slab, r.slab[r.start:r.end])
		r.start, r.slab = 0, slab
	}
	n, err := r.in.Read(r.slab[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	return err
}

// alone reads a large frame into memory of its own.
func (r *reader) alone(n int) ([]byte, error) {
	frame := make([]byte, n)
	have := copy(frame, r.slab[r.start:r.end])
	r.start += have
	for have < n {
		if err := r.deadline(time.Now().Add(stallTimeout)); err != nil {
			return nil, err
		}
		got, err := r.in.Read(frame[have:])
		have += got
		if have < n && err != nil {
			return nil, err
		}
	}
	return frame, r.deadline(time.Time{})
}

func (r *reader) deadline(t time.Time) error {
	if r.raw == nil {
		return nil
	}
	return r.raw.SetReadDeadline(t)
}
