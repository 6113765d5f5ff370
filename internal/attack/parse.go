package attack

import (
	"fmt"
	"slices"
	"strings"
)

// Parse finds a behaviour by what people write: its name, and for "delay" how far it goes. "delay hold=400ms", or "delay=400ms",
// holds each proposal so long; "delay share=1200" 1.2 times the difference between limit and acceptable turnaround; "delay patient"
// is the attack of the paper's experiments (Patient). "delay" alone keeps its place: it takes what its limit leaves of the turnaround
// that it had before, and of the longer way by one replica only, but for a fifth. Several with + between them are all done at once.
func Parse(text string) (Behaviour, error) {
	var all []Behaviour
	for _, part := range strings.Split(text, "+") {
		b, err := parseOne(part)
		if err != nil {
			return b, err
		}
		all = append(all, b)
	}
	return together(all), nil
}

// parseOne finds one behaviour.
func parseOne(text string) (Behaviour, error) {
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

// names are those of all behaviours, sorted.
func names() []string {
	var list []string
	for _, b := range Behaviours() {
		list = append(list, b.Name)
	}
	slices.Sort(list)
	return list
}
