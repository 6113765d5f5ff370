package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"github.com/primebft/prime/internal/wire"
)

// Image is what a value was when the image was taken, whatever becomes of the value.
type Image struct {
	fingerprint [32]byte
	structure   []byte
	envelopes   []*wire.Envelope
	bytes       int // of these
}

// writer writes a structure.
type writer struct {
	b         []byte
	blocks    []block
	numbers   map[unsafe.Pointer]int // of blocks, the first that begins there
	others    map[place]int          // of blocks that begin where another one does
	envelopes []*wire.Envelope
	places    map[*wire.Envelope]int // in envelopes
	maps      map[unsafe.Pointer]bool
	bytes     int
	err       error
}

// block is memory that something points to: so many values of one type, one after the other.
type block struct {
	start unsafe.Pointer
	plan  *plan
	count int
	whole bool // a slice's; otherwise a pointer's
}

// place is where a block begins, and what it is made of.
type place struct {
	start unsafe.Pointer
	plan  *plan
	whole bool
}

// slice is a slice as the compiler lays it out.
type slice struct {
	start    unsafe.Pointer
	len, cap int
}

// Take takes an image of a value that nobody changes meanwhile. It is an error if the value has what an image cannot have.
func (l *Layout[T]) Take(root *T) (*Image, error) {
	hint := int(l.blocks.Load()) // images of one core grow slowly
	w := &writer{blocks: make([]block, 0, hint), numbers: make(map[unsafe.Pointer]int, hint), others: map[place]int{}, b: make([]byte, 0, l.bytes.Load()),
		places: map[*wire.Envelope]int{}, maps: map[unsafe.Pointer]bool{}}
	w.number(block{start: unsafe.Pointer(root), plan: l.root, count: 1})
	for i := 0; i < len(w.blocks) && w.err == nil; i++ {
		w.putAll(w.blocks[i].plan, w.blocks[i].start, w.blocks[i].count)
	}
	if l.Check && w.err == nil {
		w.err = disjoint(w.blocks)
	}
	if w.err != nil {
		return nil, w.err
	}
	l.blocks.Store(int64(len(w.blocks) + len(w.blocks)/8))
	l.bytes.Store(int64(len(w.b) + len(w.b)/8))
	return &Image{fingerprint: l.fingerprint, structure: w.b, envelopes: w.envelopes, bytes: w.bytes}, nil
}

// number is the number of a block, and whether it is new: then its content follows, after that of the blocks before it.
func (w *writer) number(b block) (n int, fresh bool) {
	n, known := w.numbers[b.start]
	switch {
	case !known:
		w.numbers[b.start] = len(w.blocks)
	case w.blocks[n].plan == b.plan && w.blocks[n].whole == b.whole:
		return n, false
	default:
		at := place{b.start, b.plan, b.whole}
		if n, known = w.others[at]; known {
			return n, false
		}
		w.others[at] = len(w.blocks)
	}
	w.blocks = append(w.blocks, b)
	return len(w.blocks) - 1, true
}

// disjoint checks that no two blocks have memory in common.
func disjoint(blocks []block) error {
	sorted := slices.Clone(blocks)
	slices.SortFunc(sorted, func(a, b block) int {
		switch {
		case uintptr(a.start) < uintptr(b.start):
			return -1
		case uintptr(a.start) > uintptr(b.start):
			return 1
		}
		return 0
	})
	for i := 1; i < len(sorted); i++ {
		a, b := &sorted[i-1], &sorted[i]
		if uintptr(a.start)+uintptr(a.count)*a.plan.size > uintptr(b.start) {
			return fmt.Errorf("%d of %s and %d of %s have memory in common", a.count, a.plan.typ, b.count, b.plan.typ)
		}
	}
	return nil
}

func (w *writer) putAll(c *plan, p unsafe.Pointer, n int) {
	if c.flat {
		w.b = append(w.b, unsafe.Slice((*byte)(p), uintptr(n)*c.size)...)
		return
	}
	for i := range n {
		c.put(w, unsafe.Add(p, uintptr(i)*c.size))
	}
}

func (w *writer) uvarint(n int) { w.b = binary.AppendUvarint(w.b, uint64(n)) }

func putBool(w *writer, p unsafe.Pointer) {
	if *(*bool)(p) {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}

func putString(w *writer, p unsafe.Pointer) {
	w.uvarint(len(*(*string)(p)))
	w.b = append(w.b, *(*string)(p)...)
}

// putSlice writes 0 for nil, 1 for an empty slice, or two more than the number of its block, with the length of a new one.
func (w *writer) putSlice(elem *plan, s *slice) {
	switch {
	case s.start == nil:
		w.b = append(w.b, 0)
	case s.len == 0:
		w.b = append(w.b, 1)
	default:
		n, fresh := w.number(block{start: s.start, plan: elem, count: s.len, whole: true})
		w.uvarint(n + 2)
		if fresh {
			w.uvarint(s.len)
		} else if w.blocks[n].count != s.len {
			w.err = fmt.Errorf("slices of %d and of %d %s share their beginning", s.len, w.blocks[n].count, elem.typ)
		}
	}
}

// putPointer writes 0 for nil, or one more than the number of the block.
func (w *writer) putPointer(elem *plan, p unsafe.Pointer) {
	if p == nil {
		w.b = append(w.b, 0)
		return
	}
	n, _ := w.number(block{start: p, plan: elem, count: 1})
	w.uvarint(n + 1)
}

// putMap writes 0 for nil, or one more than the number of entries, and these by ascending key.
func (w *writer) putMap(key, value *plan, m reflect.Value) {
	if m.IsNil() {
		w.b = append(w.b, 0)
		return
	}
	if w.maps[m.UnsafePointer()] {
		w.err = fmt.Errorf("a %s has two owners", m.Type())
		return
	}
	w.maps[m.UnsafePointer()] = true
	w.uvarint(m.Len() + 1)
	keys := reflect.MakeSlice(reflect.SliceOf(key.typ), m.Len(), m.Len())
	values := reflect.MakeSlice(reflect.SliceOf(value.typ), m.Len(), m.Len())
	order := make([]int, m.Len())
	for i, at := 0, m.MapRange(); at.Next(); i++ {
		keys.Index(i).SetIterKey(at)
		values.Index(i).SetIterValue(at)
		order[i] = i
	}
	bytesOf := func(i int) []byte {
		return unsafe.Slice((*byte)(unsafe.Add(keys.UnsafePointer(), uintptr(i)*key.size)), key.size)
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(bytesOf(a), bytesOf(b)) })
	for _, i := range order {
		w.b = append(w.b, bytesOf(i)...)
		value.put(w, unsafe.Add(values.UnsafePointer(), uintptr(i)*value.size))
	}
}

// putEnvelope writes 0 for nil, or one more than the place of the envelope in the list.
func (w *writer) putEnvelope(e *wire.Envelope) {
	if e == nil {
		w.b = append(w.b, 0)
		return
	}
	at, known := w.places[e]
	if !known {
		if e.Raw == nil && e.Kind != wire.KindPreorderRequest {
			w.err = fmt.Errorf("a %s that nobody has signed", e.Kind)
			return
		}
		at = len(w.envelopes)
		w.places[e] = at
		w.envelopes = append(w.envelopes, e)
		w.bytes += max(len(e.Raw), len(e.Content))
	}
	w.uvarint(at + 1)
}

// Size is about how many bytes Append appends.
func (i *Image) Size() int {
	return len(i.fingerprint) + 16 + 5*len(i.envelopes) + i.bytes + len(i.structure)
}

// Append appends the image: the fingerprint, the number of envelopes, each with twice its length before it, and the structure. Of a
// PO-REQUEST without a proof the content is there, and one more than twice the length.
func (i *Image) Append(b []byte) []byte {
	for piece := range i.Pieces {
		b = append(b, piece...)
	}
	return b
}

// Pieces is what Append appends, for who wants it elsewhere than in one place. A piece is good until the next.
func (i *Image) Pieces(yield func([]byte) bool) {
	var number [binary.MaxVarintLen64]byte
	if !yield(i.fingerprint[:]) || !yield(binary.AppendUvarint(number[:0], uint64(len(i.envelopes)))) {
		return
	}
	for _, e := range i.envelopes {
		content, length := e.Raw, uint64(len(e.Raw))*2
		if e.Raw == nil {
			content, length = e.Content, uint64(len(e.Content))*2+1
		}
		if !yield(binary.AppendUvarint(number[:0], length)) || !yield(content) {
			return
		}
	}
	yield(i.structure)
}

// errBad says that bytes are no image.
var errBad = errors.New("not an image")
