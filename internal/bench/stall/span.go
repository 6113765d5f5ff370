package stall

import "time"

// Span is the time from From up to To, both on Now's clock.
type Span struct{ From, To int64 }

// Intersect is the time that is in both lists. Lists are sorted, their spans are disjoint and none is empty; so is the result.
func Intersect(a, b []Span) []Span {
	var both []Span
	for len(a) > 0 && len(b) > 0 {
		if s := (Span{max(a[0].From, b[0].From), min(a[0].To, b[0].To)}); s.From < s.To {
			both = append(both, s)
		}
		if a[0].To < b[0].To {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

// Everywhere is the time that is in every one of the lists; none if there are no lists.
func Everywhere(lists [][]Span) []Span {
	if len(lists) == 0 {
		return nil
	}
	all := lists[0]
	for _, list := range lists[1:] {
		all = Intersect(all, list)
	}
	return all
}

// Clip is the part of a list that is inside a window.
func Clip(list []Span, window Span) []Span {
	if window.From >= window.To {
		return nil
	}
	return Intersect(list, []Span{window})
}

// Total is how long the spans of a list are together.
func Total(list []Span) time.Duration {
	var sum int64
	for _, s := range list {
		sum += s.To - s.From
	}
	return time.Duration(sum)
}
