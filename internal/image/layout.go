package image

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/primebft/prime/internal/wire"
)

// ErrLayout says that an image is of another program.
var ErrLayout = errors.New("image of another program")

// Layout is how values of a type are written. Make one with Of. It may be shared.
type Layout[T any] struct {
	root        *plan
	fingerprint [32]byte
	// Check lets Take look for memory that is shared in ways that an image cannot have, which takes time.
	Check bool

	blocks, bytes atomic.Int64 // about what the next image needs
}

// plan is how values of one type are written and read.
type plan struct {
	typ   reflect.Type
	size  uintptr
	flat  bool // its bytes in memory are its encoding: numbers only
	least int  // the fewest bytes that a value is written as
	put   func(w *writer, p unsafe.Pointer)
	get   func(r *reader, p unsafe.Pointer)
}

// planner makes plans, one of each type.
type planner struct {
	plans map[reflect.Type]*plan
	text  strings.Builder // what the fingerprint is of
	path  []string        // of fields, to name what is refused
}

// Of is the layout of T, of a program that behaves as this number says. It is an error if T reaches a type that is not supported.
func Of[T any](behaviour uint32) (*Layout[T], error) {
	p := &planner{plans: map[reflect.Type]*plan{}}
	fmt.Fprintf(&p.text, "prime-image-v1 %d %s %d\n", behaviour, runtime.GOARCH, wire.Version)
	root, err := p.plan(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return &Layout[T]{root: root, fingerprint: sha256.Sum256([]byte(p.text.String()))}, nil
}

// tag of a field says with "-" that it is left out.
const tag = "image"

var envelope = reflect.TypeFor[wire.Envelope]()

// plan is the plan of a type.
func (p *planner) plan(t reflect.Type) (*plan, error) {
	if known := p.plans[t]; known != nil {
		return known, nil
	}
	c := &plan{typ: t, size: t.Size()}
	p.plans[t] = c
	fmt.Fprintf(&p.text, "%s %s %d\n", t, t.Kind(), t.Size())
	var err error
	switch t.Kind() {
	case reflect.Bool:
		c.least, c.put, c.get = 1, putBool, getBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		c.beFlat()
	case reflect.String:
		c.least, c.put, c.get = 1, putString, getString
	case reflect.Array:
		err = p.array(c)
	case reflect.Struct:
		err = p.structure(c)
	case reflect.Slice:
		err = p.slice(c)
	case reflect.Pointer:
		err = p.pointer(c)
	case reflect.Map:
		err = p.mapping(c)
	default:
		err = fmt.Errorf("%s is a %s, of which no image can be taken: %s", strings.Join(p.path, "."), t.Kind(), t)
	}
	return c, err
}

// within is the plan of a part of what is being planned.
func (p *planner) within(name string, t reflect.Type) (*plan, error) {
	p.path = append(p.path, name)
	c, err := p.plan(t)
	p.path = p.path[:len(p.path)-1]
	return c, err
}

// beFlat makes c the plan of a type whose bytes in memory are its encoding.
func (c *plan) beFlat() {
	n := int(c.size)
	c.flat, c.least = true, n
	c.put = func(w *writer, p unsafe.Pointer) { w.b = append(w.b, unsafe.Slice((*byte)(p), n)...) }
	c.get = func(r *reader, p unsafe.Pointer) { copy(unsafe.Slice((*byte)(p), n), r.bytes(n)) }
}

func (p *planner) array(c *plan) error {
	elem, err := p.within("[]", c.typ.Elem())
	if err != nil {
		return err
	}
	if elem.flat {
		c.beFlat()
		return nil
	}
	n := c.typ.Len()
	c.least = n * elem.least
	c.put = func(w *writer, p unsafe.Pointer) { w.putAll(elem, p, n) }
	c.get = func(r *reader, p unsafe.Pointer) { r.getAll(elem, p, n) }
	return nil
}

func (p *planner) structure(c *plan) error {
	if c.typ == envelope {
		return fmt.Errorf("%s is an envelope, not a pointer to one", strings.Join(p.path, "."))
	}
	type field struct {
		*plan
		offset uintptr
	}
	var fields []field
	var packed uintptr
	flat := true
	for i := range c.typ.NumField() {
		f := c.typ.Field(i)
		if f.Tag.Get(tag) == "-" {
			continue // what it holds follows from the other fields: whoever reads the image finds nothing, and makes it
		}
		part, err := p.within(f.Name, f.Type)
		if err != nil {
			return err
		}
		fmt.Fprintf(&p.text, "%s.%s %s %d\n", c.typ, f.Name, f.Type, f.Offset)
		fields = append(fields, field{part, f.Offset})
		c.least += part.least
		packed += part.size
		flat = flat && part.flat
	}
	if flat && packed == c.size && packed > 0 {
		c.least = 0
		c.beFlat()
		return nil
	}
	c.put = func(w *writer, p unsafe.Pointer) {
		for i := range fields {
			fields[i].put(w, unsafe.Add(p, fields[i].offset))
		}
	}
	c.get = func(r *reader, p unsafe.Pointer) {
		for i := range fields {
			fields[i].get(r, unsafe.Add(p, fields[i].offset))
		}
	}
	return nil
}

func (p *planner) slice(c *plan) error {
	c.least = 1
	elem, err := p.within("[]", c.typ.Elem())
	if err != nil {
		return err
	}
	if elem.typ.Size() == 0 {
		return fmt.Errorf("%s has elements of no size", strings.Join(p.path, "."))
	}
	c.put = func(w *writer, p unsafe.Pointer) { w.putSlice(elem, (*slice)(p)) }
	c.get = func(r *reader, p unsafe.Pointer) { r.getSlice(elem, (*slice)(p)) }
	return nil
}

func (p *planner) pointer(c *plan) error {
	c.least = 1
	if c.typ.Elem() == envelope {
		c.put = func(w *writer, p unsafe.Pointer) { w.putEnvelope(*(**wire.Envelope)(p)) }
		c.get = func(r *reader, p unsafe.Pointer) { *(**wire.Envelope)(p) = r.getEnvelope() }
		return nil
	}
	elem, err := p.within("*", c.typ.Elem())
	if err != nil {
		return err
	}
	if elem.typ.Size() == 0 {
		return fmt.Errorf("%s points to something of no size", strings.Join(p.path, "."))
	}
	c.put = func(w *writer, p unsafe.Pointer) { w.putPointer(elem, *(*unsafe.Pointer)(p)) }
	c.get = func(r *reader, p unsafe.Pointer) { *(*unsafe.Pointer)(p) = r.getPointer(elem) }
	return nil
}

func (p *planner) mapping(c *plan) error {
	c.least = 1
	key, err := p.within("key", c.typ.Key())
	if err != nil {
		return err
	}
	if !key.flat {
		return fmt.Errorf("%s has keys of no fixed size: %s", strings.Join(p.path, "."), c.typ)
	}
	value, err := p.within("value", c.typ.Elem())
	if err != nil {
		return err
	}
	c.put = func(w *writer, p unsafe.Pointer) { w.putMap(key, value, reflect.NewAt(c.typ, p).Elem()) }
	c.get = func(r *reader, p unsafe.Pointer) { r.getMap(key, value, reflect.NewAt(c.typ, p).Elem()) }
	return nil
}
