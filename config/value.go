package config

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// value is one field of a configuration, seen as a file sees it.
type value interface {
	set(any) *Problem // take what TOML decoded
	check() *Problem  // is the field's value one that may be?
	literal() string  // the field's value as TOML source
}

// text is a string that check accepts.
type text struct {
	p  *string
	ok func(string) *Problem // nil: any printable string
}

func (v text) set(raw any) *Problem {
	s, ok := raw.(string)
	if !ok {
		return wrongType(raw, "a string in quotes")
	}
	*v.p = s
	return nil
}

func (v text) check() *Problem {
	if !utf8.ValidString(*v.p) || strings.ContainsFunc(*v.p, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fault("", "use printable characters only", "%q has characters that do not print", short(*v.p))
	}
	if len(*v.p) > 4096 {
		return fault("", "use at most 4096 bytes", "it is %d bytes long", len(*v.p))
	}
	if v.ok != nil {
		return v.ok(*v.p)
	}
	return nil
}

func (v text) literal() string { return quote(*v.p) }

// quote writes a printable string as a TOML basic string.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// oneOf accepts the given words.
func oneOf(words ...string) func(string) *Problem {
	return func(s string) *Problem {
		if slices.Contains(words, s) {
			return nil
		}
		return fault("", "write one of "+strings.Join(words, ", "), "%q is not known", short(s))
	}
}

// integer is a whole number between min and max.
type integer struct {
	p        *int
	min, max int
}

func (v integer) set(raw any) *Problem {
	i, ok := raw.(int64)
	if !ok {
		return wrongType(raw, "a whole number")
	}
	if i < math.MinInt32 || i > math.MaxInt32 {
		return outside(strconv.FormatInt(i, 10), strconv.Itoa(v.min), strconv.Itoa(v.max))
	}
	*v.p = int(i)
	return nil
}

func (v integer) check() *Problem {
	if *v.p < v.min || *v.p > v.max {
		return outside(v.literal(), strconv.Itoa(v.min), strconv.Itoa(v.max))
	}
	return nil
}

func (v integer) literal() string { return strconv.Itoa(*v.p) }

// epoch is a 32-bit number from 1.
type epoch struct{ p *uint32 }

func (v epoch) set(raw any) *Problem {
	i, ok := raw.(int64)
	if !ok || i < 0 || i > math.MaxUint32 {
		return wrongType(raw, "a whole number")
	}
	*v.p = uint32(i)
	return nil
}

func (v epoch) check() *Problem {
	if *v.p == 0 {
		return fault("", "the first epoch is 1", "it is 0 or missing")
	}
	return nil
}

func (v epoch) literal() string { return strconv.FormatUint(uint64(*v.p), 10) }

// size is a number of bytes, written as a number or with a binary unit.
type size struct {
	p        *int
	min, max int
}

var sizeUnits = []struct {
	name  string
	bytes int
}{{"PiB", 1 << 50}, {"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", mib}, {"KiB", kib}, {"B", 1}}

func (v size) set(raw any) *Problem {
	if i, ok := raw.(int64); ok && i >= 0 && i <= math.MaxInt {
		*v.p = int(i)
		return nil
	}
	if s, ok := raw.(string); ok {
		for _, u := range sizeUnits {
			digits, found := strings.CutSuffix(s, u.name)
			if n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 31); found && err == nil && int(n) <= math.MaxInt/u.bytes {
				*v.p = int(n) * u.bytes
				return nil
			}
		}
	}
	return wrongType(raw, `a size like "64KiB", "16MiB" or a number of bytes`)
}

func (v size) check() *Problem {
	if *v.p < v.min || *v.p > v.max {
		return outside(sizeText(*v.p), sizeText(v.min), sizeText(v.max))
	}
	return nil
}

func (v size) literal() string { return quote(sizeText(*v.p)) }

// sizeText writes bytes in the largest unit that needs no fraction.
func sizeText(n int) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.Itoa(n/u.bytes) + u.name
		}
	}
	return "0B"
}

// span is a duration, written like "2ms".
type span struct {
	p        *time.Duration
	min, max time.Duration
}

func (v span) set(raw any) *Problem {
	if s, ok := raw.(string); ok {
		if d, err := time.ParseDuration(s); err == nil {
			*v.p = d
			return nil
		}
	}
	return wrongType(raw, `a duration like "500us", "2ms" or "5s"`)
}

func (v span) check() *Problem {
	if *v.p < v.min || *v.p > v.max {
		return outside(spanText(*v.p), spanText(v.min), spanText(v.max))
	}
	return nil
}

func (v span) literal() string { return quote(spanText(*v.p)) }

// spanText writes a duration in plain ASCII and without zero parts: 2s, 1m, 500us.
func spanText(d time.Duration) string {
	s := strings.ReplaceAll(d.String(), "µ", "u")
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// rate is a number of bits per second; 0 is no limit.
type rate struct{ p *int64 }

func (v rate) set(raw any) *Problem {
	i, ok := raw.(int64)
	if !ok {
		return wrongType(raw, "a number of bits per second")
	}
	*v.p = i
	return nil
}

func (v rate) check() *Problem {
	if *v.p != 0 && (*v.p < 64_000 || *v.p > 1e12) {
		return fault("", "write 0 for no limit, or between 64000 and 1000000000000 bits per second", "it is %d", *v.p)
	}
	return nil
}

func (v rate) literal() string { return strconv.FormatInt(*v.p, 10) }

// number is a fraction between min and max.
type number struct {
	p        *float64
	min, max float64
}

func (v number) set(raw any) *Problem {
	switch n := raw.(type) {
	case int64:
		*v.p = float64(n)
	case float64:
		*v.p = n
	default:
		return wrongType(raw, "a number")
	}
	return nil
}

func (v number) check() *Problem {
	if !(*v.p >= v.min && *v.p <= v.max) { // written so that NaN fails
		return outside(v.literal(), number{p: &v.min}.literal(), number{p: &v.max}.literal())
	}
	return nil
}

func (v number) literal() string { return strconv.FormatFloat(*v.p, 'g', -1, 64) }

// toggle is true or false.
type toggle struct{ p *bool }

func (v toggle) set(raw any) *Problem {
	b, ok := raw.(bool)
	if !ok {
		return wrongType(raw, "true or false")
	}
	*v.p = b
	return nil
}

func (v toggle) check() *Problem { return nil }
func (v toggle) literal() string { return strconv.FormatBool(*v.p) }

// hex32 is 32 bytes as 64 hexadecimal digits.
type hex32 struct {
	get func() []byte
	put func([]byte)
}

func (v hex32) set(raw any) *Problem {
	s, ok := raw.(string)
	b, err := hex.DecodeString(s)
	if !ok || err != nil || len(b) != 32 {
		return wrongType(raw, "64 hexadecimal digits in quotes")
	}
	v.put(b)
	return nil
}

func (v hex32) check() *Problem {
	b := v.get()
	if len(b) != 32 {
		return fault("", "write 64 hexadecimal digits in quotes", "it is missing or not 32 bytes long")
	}
	if !slices.ContainsFunc(b, func(x byte) bool { return x != 0 }) {
		return fault("", "write 64 hexadecimal digits in quotes", "it is missing or all zero")
	}
	return nil
}

func (v hex32) literal() string { return quote(hex.EncodeToString(v.get())) }

// wrongType says that raw cannot be what is wanted.
func wrongType(raw any, want string) *Problem {
	shown := fmt.Sprint(raw)
	switch r := raw.(type) {
	case string:
		shown = strconv.Quote(short(r))
	case nil, map[string]any, []any, []map[string]any:
		shown = "the value"
	}
	noun, _, _ := strings.Cut(want, " like ") // the examples belong to the remedy
	return fault("", "write "+want, "%s is not %s", short(shown), noun)
}

// outside says that a value is not within its range.
func outside(got, min, max string) *Problem {
	if min == max {
		return fault("", "write "+min, "%s is not what this version knows", got)
	}
	return fault("", fmt.Sprintf("write a value from %s to %s", min, max), "%s is outside the range", got)
}
