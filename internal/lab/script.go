// Package lab is what prime lab knows without running anything: the language of its scripts, what it says to replicas and they
// to it, and how a run is judged from what was noted in it.
package lab

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/primebft/prime/config"
)

// Verb is what an event does.
type Verb string

// The verbs.
const (
	Kill      Verb = "kill"      // end the process at once
	Pause     Verb = "pause"     // stop the process without its noticing
	Resume    Verb = "resume"    // and let it go on
	Restart   Verb = "restart"   // start the process again
	Attack    Verb = "attack"    // compromise the replica, or with "none" stop what it does
	Partition Verb = "partition" // cut the links between groups
	Heal      Verb = "heal"      // undo everything that was done to links
	Link      Verb = "link"      // change links
)

// NoAttack is what stops an attack.
const NoAttack = "none"

// Event is one line of a script.
type Event struct {
	At     time.Duration // since the measurement began
	Verb   Verb
	Who    Targets   // of kill, pause, resume, restart and attack; of link, where from
	To     Targets   // of link
	Both   bool      // of link: and the other way
	Groups []Targets // of partition; replicas in none of them are one more
	What   string    // of attack, which; of link, the settings
	Text   string    // verb and arguments, as it was written
}

// Rules are what a script is checked against.
type Rules struct {
	Replicas int
	Duration time.Duration            // every event is before its end
	Attack   func(what string) error  // judges what "attack" is given; its text names the remedy
	Settings func(words string) error // judges what "link" is given
}

// Limits of a script.
const (
	maxEvents = 10_000
	maxLine   = 4096
)

// grammar is the remedy for a line that makes no sense at all.
const grammar = `write "at TIME VERB ARGUMENTS", for example "at 5s kill leader"; verbs are kill, pause, resume, restart, attack, ` +
	`partition, heal and link`

// Parse reads a script: one event a line, or several with ";" between them, comments from "#" on. name is the file, or the flag
// with lines false. The error has every fault, as *config.Problem. Events are in the order of their times, and those of one time in
// the order of the text.
func Parse(name, text string, lines bool, rules Rules) ([]Event, error) {
	var events []Event
	var faults []error
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		for _, part := range strings.Split(line, ";") {
			if strings.TrimSpace(part) == "" {
				continue
			}
			e, fault := parse(part, &rules)
			if fault == nil && len(events) == maxEvents {
				fault = &config.Problem{What: fmt.Sprintf("there are more than %d events", maxEvents), Remedy: "leave some out"}
			}
			if fault == nil {
				events = append(events, e)
				continue
			}
			if fault.File = name; lines {
				fault.Line = i + 1
			}
			faults = append(faults, fault)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	Sort(events)
	return events, nil
}

// ParseAttacks reads attacks without times, as "leader delay; r2 mute", in the manner of Parse: each is an event at 0.
func ParseAttacks(name, text string, rules Rules) ([]Event, error) {
	var events []Event
	var faults []error
	for _, part := range strings.Split(text, ";") {
		e := Event{Verb: Attack, Text: string(Attack) + " " + strings.Join(strings.Fields(part), " ")}
		err := e.arguments(strings.Fields(part), &rules)
		if err == nil && e.What == NoAttack {
			err = errors.New("none is no attack")
		}
		if err != nil {
			faults = append(faults, &config.Problem{File: name, Field: short(strings.TrimSpace(part)), What: err.Error(),
				Remedy: `write for example "leader delay", or "leader delay+reconciliation; r2 reconciliation"`})
		}
		events = append(events, e)
	}
	return events, errors.Join(faults...)
}

// Sort puts events into the order of their times; those of one time keep theirs.
func Sort(events []Event) {
	slices.SortStableFunc(events, func(a, b Event) int { return int(min(1, max(-1, a.At-b.At))) })
}

// parse reads one event.
func parse(text string, rules *Rules) (Event, *config.Problem) {
	words := strings.Fields(text)
	shown := strings.Join(words, " ")
	fault := func(remedy, format string, args ...any) (Event, *config.Problem) {
		return Event{}, &config.Problem{Field: short(shown), What: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	switch {
	case len(text) > maxLine:
		return fault("write it shorter", "it has %d bytes", len(text))
	case len(words) < 3 || words[0] != "at":
		return fault(grammar, "it is no event")
	}
	at, err := time.ParseDuration(words[1])
	if err != nil {
		return fault(`write a duration like "500ms", "5s" or "1m30s"`, "%q is no time", short(words[1]))
	}
	if at < 0 || at >= rules.Duration {
		return fault("choose an earlier time, or a longer --duration", "%s is not within the %s that the load runs", at, rules.Duration)
	}
	e := Event{At: at, Verb: Verb(words[2]), Text: strings.Join(words[2:], " ")}
	if err := e.arguments(words[3:], rules); err != nil {
		remedy := grammar
		if usage, ok := usages[e.Verb]; ok {
			remedy = "write " + usage
		}
		return fault(remedy, "%s", err)
	}
	return e, nil
}

// usages says how each verb is used.
var usages = map[Verb]string{
	Kill:      `"kill r3", "kill leader" or "kill r1,r2"`,
	Pause:     `"pause r3" or "pause follower"`,
	Resume:    `"resume r3" or "resume all"`,
	Restart:   `"restart r3"`,
	Attack:    `"attack r1 delay", "attack leader delay=400ms", "attack r1,r2 delay+reconciliation", or "attack r1 none" to stop it`,
	Partition: `"partition r1,r2|r3,r4", or "partition r4" to cut it off from the rest`,
	Heal:      `"heal" alone`,
	Link:      `"link r1>r2 delay=20ms loss=0.01", "link leader<>all down" or "link r1>r2 up"`,
}

// arguments reads what follows the verb.
func (e *Event) arguments(words []string, rules *Rules) (err error) {
	switch e.Verb {
	case Kill, Pause, Resume, Restart:
		if len(words) != 1 {
			return fmt.Errorf("%s takes one list of replicas", e.Verb)
		}
		e.Who, err = parseTargets(words[0], rules.Replicas)
	case Attack:
		if len(words) < 2 {
			return errors.New("attack takes a list of replicas and an attack")
		}
		if e.Who, err = parseTargets(words[0], rules.Replicas); err != nil {
			return err
		}
		if e.What = strings.Join(words[1:], " "); e.What != NoAttack {
			err = rules.Attack(e.What)
		}
	case Partition:
		if len(words) != 1 {
			return errors.New("partition takes groups of replicas with | between them")
		}
		e.Groups, err = parseGroups(words[0], rules.Replicas)
	case Heal:
		if len(words) != 0 {
			return errors.New("heal takes nothing")
		}
	case Link:
		if len(words) < 2 {
			return errors.New("link takes two lists of replicas with > or <> between them, and what becomes of the links")
		}
		from, to, ok := strings.Cut(words[0], ">")
		if !ok {
			return fmt.Errorf("%q has no >", short(words[0]))
		}
		from, e.Both = strings.CutSuffix(from, "<")
		if e.Who, err = parseTargets(from, rules.Replicas); err != nil {
			return err
		}
		if e.To, err = parseTargets(to, rules.Replicas); err != nil {
			return err
		}
		e.What = strings.Join(words[1:], " ")
		err = rules.Settings(e.What)
	default:
		return fmt.Errorf("there is no verb %q", short(string(e.Verb)))
	}
	return err
}

func parseGroups(text string, n int) ([]Targets, error) {
	var groups []Targets
	seen := map[Target]bool{}
	for _, part := range strings.Split(text, "|") {
		g, err := parseTargets(part, n)
		if err != nil {
			return nil, err
		}
		for _, t := range g {
			if seen[t] {
				return nil, fmt.Errorf("%s is in two groups", t)
			}
			seen[t] = true
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func parseTargets(text string, n int) (Targets, error) {
	var list Targets
	for _, word := range strings.Split(text, ",") {
		t := Target{Role: Role(word)}
		switch t.Role {
		case Leader, Follower, All:
		default:
			id, err := strconv.Atoi(strings.TrimPrefix(word, "r"))
			if err != nil || !strings.HasPrefix(word, "r") || id < 1 || id > n || word != "r"+strconv.Itoa(id) {
				return nil, fmt.Errorf("%q is no replica: there are r1 to r%d, leader, follower and all", short(word), n)
			}
			t = Target{ID: id}
		}
		list = append(list, t)
	}
	return list, nil
}

// short cuts what somebody wrote to a length that an error message can hold.
func short(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
