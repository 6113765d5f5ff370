package attack

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/core"
)

// Limits of what the delay attack can be told.
const (
	maxHold  = time.Hour
	maxShare = 100_000
)

func parseDelay(b Behaviour, words []string) (Behaviour, error) {
	if len(words) == 1 && words[0] == "patient" {
		b.Wrap = Patient
		return b, nil
	}
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
			return b, fmt.Errorf("delay does not know %.40q; write delay, delay patient, delay share=1200 or delay hold=400ms", word)
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
