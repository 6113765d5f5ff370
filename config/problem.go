package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one fault of a configuration: where it is, what is wrong and what to do about it. Every error of this package
// that the operator can mend is a *Problem, or several joined; Problems takes them apart.
type Problem struct {
	File   string `json:"file"`    // path, or the bare name when the configuration was not read from a file
	Line   int    `json:"line"`    // 0 if not known
	Field  string `json:"field"`   // as in the file: "timing.request", "replica[2].peers"; may be empty
	What   string `json:"problem"` // what is wrong
	Remedy string `json:"remedy"`  // what to do; may be empty
}

// Error is one line: file, line, field, what is wrong, and the remedy.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.What)
	if p.Remedy != "" {
		b.WriteString("; " + p.Remedy)
	}
	return b.String()
}

// Problems lists the faults inside err, in the order of files and lines; empty, never nil, if there are none.
func Problems(err error) []*Problem {
	found := collect(err, []*Problem{})
	slices.SortStableFunc(found, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return found
}

// collect appends the faults inside err to found.
func collect(err error, found []*Problem) []*Problem {
	switch e := err.(type) {
	case nil:
	case *Problem:
		found = append(found, e)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			found = collect(inner, found)
		}
	default:
		found = collect(errors.Unwrap(err), found)
	}
	return found
}

// join makes one error of many faults; nil if there are none.
func join(problems []*Problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// fault is a Problem that its caller will place in a file.
func fault(field, remedy, format string, args ...any) *Problem {
	return &Problem{Field: field, What: fmt.Sprintf(format, args...), Remedy: remedy}
}

// short cuts what a file or a user wrote to a length that an error message can hold.
func short(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
