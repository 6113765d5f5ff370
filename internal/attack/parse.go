package attack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
)

// Parse finds a behaviour by what people write: its name, and for "delay" how far it goes. "delay hold=400ms", or "delay=400ms",
// holds each proposal so long; "delay share=1200" 1.2 times the difference between limit and acceptable turnaround. "delay" alone
// keeps its place: it takes what its limit leaves of the turnaround that it had before, and of the longer way by one replica only,
// but for a fifth.
func Parse(text string) (Behaviour, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Behaviour{}, fmt.Errorf("no attack is named; there are %s", strings.Join(names(), ", "))
	}
	name, value, short := strings.Cut(words[0], "=")
	b, ok := Named(name)
	switch {
	case !ok:
		return b, fmt.Errorf("there is no attack %.40q; there are %s", name, strings.Join(names(), ", "))
	case name == "delay" && short:
		return parseDelay(b, append([]string{"hold=" + value}, words[1:]...))
	case name == "delay":
		return parseDelay(b, words[1:])
	case short || len(words) > 1:
		return b, fmt.Errorf("attack %s takes no values; write its name alone", name)
	}
	return b, nil
}

// Limits of what the delay attack can be told.
const (
	maxHold  = time.Hour
	maxShare = 100_000
)

func parseDelay(b Behaviour, words []string) (Behaviour, error) {
	share, hold := time.Duration(0), time.Duration(-1)
	modest := len(words) == 0
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "share":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > maxShare {
				return b, fmt.Errorf("delay %.40q is not possible; write share=1200 for 1.2 times what it gets away with, at most %d", word, maxShare)
			}
			share = time.Duration(n)
		case "hold":
			d, err := time.ParseDuration(value)
			if err != nil || d < 0 || d > maxHold {
				return b, fmt.Errorf("delay %.40q is not possible; write for example hold=400ms, at most %s", word, maxHold)
			}
			hold = d
		default:
			return b, fmt.Errorf("delay does not know %.40q; write delay, delay share=1200 or delay hold=400ms", word)
		}
	}
	b.Wrap = func(h *Host, inner core.Machine) core.Machine {
		d := &hoarder{host: h, Machine: inner, share: share}
		switch {
		case hold >= 0:
			d.dare = func(clock.Instant, core.Judgement) time.Duration { return hold }
		case modest:
			d.dare = within()
		}
		return d
	}
	return b, nil
}

// within is how long a leader dares to wait that wants to stay, and knows that others are late, too.
func within() func(clock.Instant, core.Judgement) time.Duration {
	dares := time.Duration(-1)
	return func(_ clock.Instant, j core.Judgement) time.Duration {
		if dares < 0 {
			dares = max(0, j.Limit-j.Turnaround-j.Acceptable/2) * 4 / 5
		}
		return dares
	}
}

// names are those of all behaviours, sorted.
func names() []string {
	var list []string
	for _, b := range Behaviours() {
		list = append(list, b.Name)
	}
	slices.Sort(list)
	return list
}
