package lab

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/primebft/prime/transport/emulate/wan"
)

// ParseSettings reads what becomes of links: words of down, up, delay=20ms, jitter=2ms, loss=0.01, duplicate=0.001,
// rate=10e6 (bits/s, 0 for no limit). What is not named stays as it is.
func ParseSettings(text string) (func(*wan.Link), error) {
	var changes []func(*wan.Link)
	for _, word := range strings.Fields(text) {
		change, err := parseSetting(word)
		if err != nil {
			return nil, err
		}
		changes = append(changes, change)
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("nothing is said of the link")
	}
	all := func(l *wan.Link) {
		for _, change := range changes {
			change(l)
		}
	}
	var sample wan.Link
	all(&sample)
	if bad := sample.Validate(""); len(bad) > 0 {
		return nil, fmt.Errorf("%s: %s; %s", bad[0].Field, bad[0].What, bad[0].Remedy)
	}
	return all, nil
}

func parseSetting(word string) (func(*wan.Link), error) {
	key, value, given := strings.Cut(word, "=")
	if (key == "down" || key == "up") && !given {
		return func(l *wan.Link) { l.Down = key == "down" }, nil
	}
	switch key {
	case "delay", "jitter":
		d, err := time.ParseDuration(value)
		if err != nil {
			return nil, fmt.Errorf("%s is no time; write for example %s=20ms", short(word), key)
		}
		return func(l *wan.Link) {
			if key == "delay" {
				l.Delay = d
			} else {
				l.Jitter = wan.Jitter{Uniform: d}
			}
		}, nil
	case "loss", "duplicate", "rate":
		x, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("%s is no number; write for example loss=0.01 or rate=10e6", short(word))
		}
		return func(l *wan.Link) {
			switch key {
			case "loss":
				l.Loss = wan.Bernoulli(x)
			case "duplicate":
				l.Duplicate = x
			default:
				l.Rate.Bits = int64(max(-1, min(x, 1e13)))
			}
		}, nil
	}
	return nil, fmt.Errorf("a link has no %q; write down, up, delay=, jitter=, loss=, duplicate= or rate=", short(word))
}
