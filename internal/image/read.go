package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/primebft/prime/internal/wire"
)

// reader reads a structure. It believes no number before it is checked against the bytes that are left, so what it allocates is
// bounded by those.
type reader struct {
	b         []byte
	blocks    []block
	owed      int // fewest bytes that blocks whose content is still to come take
	envelopes []*wire.Envelope
	err       error
}

// Read makes a value of an image, whose messages are within limits. Any bytes give a value or an error, which is
// ErrLayout if they are of another program. It says nothing about whether a program would get there.
func (l *Layout[T]) Read(b []byte, limits wire.Limits) (*T, error) {
	if err := l.Reads(b); err != nil {
		return nil, err
	}
	r := &reader{b: b[len(l.fingerprint):]}
	for range r.count(1) {
		n := r.number()
		raw := bytes.Clone(r.bytes(n / 2))
		if r.err != nil {
			return nil, r.err
		}
		read := limits.Decode
		if n%2 == 1 {
			read = limits.Unproven
		}
		e, err := read(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errBad, err)
		}
		r.envelopes = append(r.envelopes, e)
	}
	root := new(T)
	r.add(block{start: unsafe.Pointer(root), plan: l.root, count: 1})
	for i := 0; i < len(r.blocks) && r.err == nil; i++ {
		k := r.blocks[i]
		r.owed -= k.count * k.plan.least
		r.getAll(k.plan, k.start, k.count)
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = errBad
	}
	if r.err != nil {
		return nil, r.err
	}
	return root, nil
}

// Reads reports, as an error that says why, if an image is none of this layout.
func (l *Layout[T]) Reads(b []byte) error {
	if len(b) < len(l.fingerprint) {
		return errBad
	}
	if !bytes.Equal(b[:len(l.fingerprint)], l.fingerprint[:]) {
		return fmt.Errorf("%w: it has layout %x and this program has %x", ErrLayout, b[:8], l.fingerprint[:8])
	}
	return nil
}

// add notes a block whose content is to come. It is no block if there are not bytes enough for it.
func (r *reader) add(k block) {
	r.owed += k.count * k.plan.least
	if r.owed > len(r.b) {
		r.err = errBad
	}
	r.blocks = append(r.blocks, k)
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.err = nil, errBad
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

// count reads how many things follow that have at least so many bytes each, in the shortest form.
func (r *reader) count(least int) int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.b, r.err = nil, errBad
		return 0
	}
	r.b = r.b[n:]
	if v > uint64(len(r.b)/max(1, least)) {
		r.b, r.err = nil, errBad
		return 0
	}
	return int(v)
}

// number reads a number of a place in a list, or what is said instead of one.
func (r *reader) number() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 || v > 1<<40 {
		r.b, r.err = nil, errBad
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) getAll(c *plan, p unsafe.Pointer, n int) {
	if c.flat {
		size := n * int(c.size)
		copy(unsafe.Slice((*byte)(p), size), r.bytes(size))
		return
	}
	for i := 0; i < n && r.err == nil; i++ {
		c.get(r, unsafe.Add(p, uintptr(i)*c.size))
	}
}

func getBool(r *reader, p unsafe.Pointer) {
	b := r.bytes(1)
	if b == nil || b[0] > 1 {
		r.b, r.err = nil, errBad
		return
	}
	*(*bool)(p) = b[0] == 1
}

func getString(r *reader, p unsafe.Pointer) { *(*string)(p) = string(r.bytes(r.count(1))) }

func (r *reader) getSlice(elem *plan, s *slice) {
	n := r.number()
	switch {
	case r.err != nil || n == 0:
		return
	case n == 1:
		*s = slice{start: reflect.MakeSlice(reflect.SliceOf(elem.typ), 0, 0).UnsafePointer()}
		return
	}
	if n -= 2; n == len(r.blocks) {
		count := r.count(elem.least)
		if count == 0 || r.owed+count*elem.least > len(r.b) {
			r.b, r.err = nil, errBad
			return
		}
		r.add(block{start: reflect.MakeSlice(reflect.SliceOf(elem.typ), count, count).UnsafePointer(), plan: elem, count: count, whole: true})
	}
	if k := r.known(n, elem, true); k != nil {
		*s = slice{k.start, k.count, k.count}
	}
}

// known is a block that there is, of that plan; nil, and an error, if there is none.
func (r *reader) known(n int, elem *plan, whole bool) *block {
	if r.err != nil || n >= len(r.blocks) || r.blocks[n].plan != elem || r.blocks[n].whole != whole {
		r.b, r.err = nil, errBad
		return nil
	}
	return &r.blocks[n]
}

func (r *reader) getPointer(elem *plan) unsafe.Pointer {
	n := r.number()
	if r.err != nil || n == 0 {
		return nil
	}
	if n--; n == len(r.blocks) {
		if r.owed+elem.least > len(r.b) {
			r.b, r.err = nil, errBad
			return nil
		}
		r.add(block{start: reflect.New(elem.typ).UnsafePointer(), plan: elem, count: 1})
	}
	if k := r.known(n, elem, false); k != nil {
		return k.start
	}
	return nil
}

func (r *reader) getMap(key, value *plan, m reflect.Value) {
	n := r.number()
	if r.err != nil || n == 0 {
		return
	}
	if n--; n > len(r.b)/(key.least+value.least) {
		r.b, r.err = nil, errBad
		return
	}
	m.Set(reflect.MakeMapWithSize(m.Type(), n))
	var last []byte
	for i := 0; i < n && r.err == nil; i++ {
		b := r.bytes(int(key.size))
		if i > 0 && bytes.Compare(last, b) >= 0 {
			r.b, r.err = nil, errBad
			return
		}
		last = b
		k, v := reflect.New(key.typ), reflect.New(value.typ)
		copy(unsafe.Slice((*byte)(k.UnsafePointer()), key.size), b)
		value.get(r, v.UnsafePointer())
		m.SetMapIndex(k.Elem(), v.Elem())
	}
}

func (r *reader) getEnvelope() *wire.Envelope {
	n := r.number()
	if r.err != nil || n == 0 {
		return nil
	}
	if n > len(r.envelopes) {
		r.b, r.err = nil, errBad
		return nil
	}
	return r.envelopes[n-1]
}
