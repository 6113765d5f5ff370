// Package invariant is where the program notices that it is itself wrong. Only our own broken promises come here; what a
// peer can send never does.
package invariant

import "fmt"

// Violation is the value of the panic that a broken invariant raises.
type Violation struct{ What string }

func (v Violation) Error() string { return "invariant violated: " + v.What }

// Assert panics with a Violation unless ok. Callers on hot paths check ok themselves before they build arguments.
func Assert(ok bool, format string, args ...any) {
	if !ok {
		panic(Violation{What: fmt.Sprintf(format, args...)})
	}
}
