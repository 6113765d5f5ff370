package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/primebft/prime/internal/bench/stall"
)

// Kind says what a replica noted.
type Kind string

// What replicas note.
const (
	Suspected    Kind = "suspected"    // View, Replica: it votes against that leader
	Preinstalled Kind = "preinstalled" // View: its change begins
	Installed    Kind = "installed"    // View: its change has ended
	Gap          Kind = "gap"          // Nanos: its own clock stood still
	LeftBehind   Kind = "left-behind"  // Replica: it needs what is no longer held
	Judged       Kind = "judged"       // View, Judgement
	Probed       Kind = "probed"       // Replica, Nanos, Trip: a BOUNDED message from it took so long, after a TIMELY round trip
	Done         Kind = "done"         // Number, Problem: a command was carried out, or why not
)

// Note is what one replica has to say about itself, one line of JSON on its standard output.
type Note struct {
	At      int64  `json:"at"` // on the clock of package stall
	Kind    Kind   `json:"kind"`
	View    uint64 `json:"view,omitempty"`
	Replica int    `json:"replica,omitempty"`
	Nanos   int64  `json:"ns,omitempty"`
	Trip    int64  `json:"trip,omitempty"`
	Number  int    `json:"number,omitempty"`
	Problem string `json:"problem,omitempty"`
	Lost    uint64 `json:"lost,omitempty"` // notes of this replica so far for which there was no room
	*Judgement
}

// Judgement is what a replica thinks of its leader, in nanoseconds; 0 for what it does not know yet.
type Judgement struct {
	Turnaround int64 `json:"turnaround"`
	Acceptable int64 `json:"acceptable"`
	Limit      int64 `json:"limit"`
}

// Notebook writes notes without ever making their author wait: what finds no room is counted and dropped.
type Notebook struct {
	lines   chan Note
	dropped atomic.Uint64
	end     chan struct{} // closed by Close
	done    chan struct{} // closed when everything is written
}

// room is how many notes may wait to be written.
const room = 4096

// NewNotebook writes to w until Close.
func NewNotebook(w io.Writer) *Notebook {
	n := &Notebook{lines: make(chan Note, room), end: make(chan struct{}), done: make(chan struct{})}
	go n.write(json.NewEncoder(w))
	return n
}

// write writes notes as they come, and at the end those that are there. An error means that nobody reads any more, which is no
// reason to stop.
func (n *Notebook) write(e *json.Encoder) {
	defer close(n.done)
	for {
		select {
		case note := <-n.lines:
			_ = e.Encode(note)
		case <-n.end:
			for len(n.lines) > 0 {
				_ = e.Encode(<-n.lines)
			}
			return
		}
	}
}

// Add notes something now.
func (n *Notebook) Add(note Note) {
	note.At, note.Lost = stall.Now(), n.dropped.Load()
	select {
	case n.lines <- note:
	default:
		n.dropped.Add(1)
	}
}

// Dropped is how many notes found no room.
func (n *Notebook) Dropped() uint64 { return n.dropped.Load() }

// Close writes what waits. What is added later is not written.
func (n *Notebook) Close() {
	close(n.end)
	<-n.done
}

// ParseNote reads a line of a notebook.
func ParseNote(line []byte) (Note, error) {
	var n Note
	err := json.Unmarshal(line, &n)
	return n, err
}

// Command is one line to a replica: its number, which the answer repeats, a verb (attack, link or heal), and arguments.
type Command struct {
	Number int
	Verb   Verb
	Rest   string
}

// String is the line.
func (c Command) String() string { return fmt.Sprintf("%d %s %s", c.Number, c.Verb, c.Rest) }

// ParseCommand reads a line.
func ParseCommand(line string) (Command, error) {
	number, rest, _ := strings.Cut(line, " ")
	verb, rest, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return Command{}, fmt.Errorf("command %q has no number", short(line))
	}
	return Command{n, Verb(verb), rest}, nil
}

// AttackArguments are those of an attack to a replica: what it does, in league with replicas that are compromised, too.
func AttackArguments(allies []int, what string) string {
	words := make([]string, len(allies))
	for i, id := range allies {
		words[i] = strconv.Itoa(id)
	}
	return strings.Join(words, ",") + " " + what
}

// ParseAttack reads AttackArguments.
func ParseAttack(rest string) (allies []int, what string, err error) {
	list, what, _ := strings.Cut(rest, " ")
	for _, word := range strings.Split(list, ",") {
		id, err := strconv.Atoi(word)
		if err != nil {
			return nil, "", fmt.Errorf("%q is no replica", short(word))
		}
		allies = append(allies, id)
	}
	return allies, what, nil
}

// Obey reads commands until in ends, has each carried out, and notes how that went.
func Obey(in io.Reader, carryOut func(Command) error, notes *Notebook) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		c, err := ParseCommand(lines.Text())
		if err == nil {
			err = carryOut(c)
		}
		done := Note{Kind: Done, Number: c.Number}
		if err != nil {
			done.Problem = err.Error()
		}
		notes.Add(done)
	}
}
