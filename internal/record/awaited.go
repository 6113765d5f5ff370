package record

import "github.com/primebft/prime/internal/core/effect"

// Awaited is what a core wanted to send, to its own replica too, and whose signed copies have not come back, by a key that tells
// messages apart. Make one with NewAwaited.
type Awaited[K comparable] struct {
	sends    []effect.Send // empty where one has come back
	places   map[K][]int
	returned int
}

// NewAwaited returns an empty one.
func NewAwaited[K comparable]() Awaited[K] { return Awaited[K]{places: map[K][]int{}} }

// Add notes a message. The same one may be wanted more than once.
func (a *Awaited[K]) Add(key K, s *effect.Send) {
	a.places[key] = append(a.places[key], len(a.sends))
	a.sends = append(a.sends, *s)
}

// Take forgets a message that has come back; false if it is not awaited.
func (a *Awaited[K]) Take(key K) bool {
	places := a.places[key]
	if len(places) == 0 {
		return false
	}
	if a.sends[places[0]] = (effect.Send{}); len(places) == 1 {
		delete(a.places, key)
	} else {
		a.places[key] = places[1:]
	}
	a.returned++
	if a.returned > 1024 && a.returned > len(a.sends)/2 {
		a.compact()
	}
	return true
}

// compact forgets the places of what has come back.
func (a *Awaited[K]) compact() {
	kept := a.sends[:0]
	moved := make([]int, len(a.sends))
	for i := range a.sends {
		moved[i] = len(kept)
		if a.sends[i].Msg != nil {
			kept = append(kept, a.sends[i])
		}
	}
	clear(a.sends[len(kept):])
	a.sends, a.returned = kept, 0
	for _, places := range a.places {
		for k := range places {
			places[k] = moved[places[k]]
		}
	}
}

// Sends is what is awaited, in the order in which it was wanted.
func (a *Awaited[K]) Sends() (sends []effect.Send) {
	for i := range a.sends {
		if a.sends[i].Msg != nil {
			sends = append(sends, a.sends[i])
		}
	}
	return sends
}
