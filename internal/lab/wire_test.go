package lab

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/transport/emulate/wan"
)

// TestNotes: what is noted is read again, in its order.
func TestNotes(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	n := NewNotebook(&b)
	n.Add(Note{Kind: Suspected, View: 3, Replica: 2})
	n.Add(Note{Kind: Judged, View: 3, Judgement: &Judgement{1, 2, 3}})
	n.Add(Note{Kind: Gap, Nanos: 5e6})
	n.Close()
	n.Add(Note{Kind: Gap}) // is lost, and nobody is harmed
	lines := bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n"))
	if len(lines) != 3 || n.Dropped() != 0 {
		t.Fatalf("%d lines, %d dropped", len(lines), n.Dropped())
	}
	last := int64(0)
	for i, line := range lines {
		note, err := ParseNote(line)
		if err != nil || note.At < last || note.At == 0 {
			t.Errorf("line %d: %+v, %v", i, note, err)
		}
		last = note.At
		switch i {
		case 0:
			if note.Kind != Suspected || note.View != 3 || note.Replica != 2 {
				t.Errorf("suspicion %+v", note)
			}
		case 1:
			if note.Judgement == nil || *note.Judgement != (Judgement{1, 2, 3}) {
				t.Errorf("judgement %+v", note)
			}
		case 2:
			if note.Nanos != 5e6 || note.Judgement != nil {
				t.Errorf("gap %+v", note)
			}
		}
	}
	if _, err := ParseNote([]byte("hello")); err == nil {
		t.Error("nonsense was read")
	}
}

// blocked is a reader of notes that does not read until it is told to.
type blocked struct{ open chan struct{} }

func (b blocked) Write(p []byte) (int, error) {
	<-b.open
	return len(p), nil
}

// TestNotebookNeverWaits: a replica whose notes nobody reads goes on.
func TestNotebookNeverWaits(t *testing.T) {
	t.Parallel()
	b := blocked{make(chan struct{})}
	n := NewNotebook(b)
	for range 3 * room {
		n.Add(Note{Kind: Gap})
	}
	if n.Dropped() < room {
		t.Errorf("%d of %d were dropped, with room for %d", n.Dropped(), 3*room, room)
	}
	close(b.open)
	n.Close()
}

// TestObey: commands are carried out in order, and each is answered under its number.
func TestObey(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	n := NewNotebook(&b)
	var done []Command
	in := strings.NewReader(Command{1, Attack, "delay share=7"}.String() + "\n" + Command{2, Heal, ""}.String() + "\nnonsense\n")
	Obey(in, func(c Command) error {
		done = append(done, c)
		if c.Verb == Heal {
			return errors.New("not today")
		}
		return nil
	}, n)
	n.Close()
	if len(done) != 2 || done[0] != (Command{1, Attack, "delay share=7"}) || done[1].Verb != Heal {
		t.Errorf("carried out: %+v", done)
	}
	var answers []Note
	for line := range strings.Lines(b.String()) {
		note, err := ParseNote([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, note)
	}
	if len(answers) != 3 || answers[0].Number != 1 || answers[0].Problem != "" || answers[1].Problem != "not today" || answers[2].Problem == "" {
		t.Errorf("answers %+v", answers)
	}
	Obey(io.LimitReader(strings.NewReader(""), 0), nil, n)
}

// TestParseSettings: what is named changes, and the rest stays.
func TestParseSettings(t *testing.T) {
	t.Parallel()
	change, err := ParseSettings("down loss=0.25 jitter=2ms rate=1e6 duplicate=0.5")
	if err != nil {
		t.Fatal(err)
	}
	l := wan.Link{Delay: 7 * time.Millisecond, MTU: 1500}
	change(&l)
	if !l.Down || l.Loss.Good != 0.25 || l.Jitter.Uniform != 2*time.Millisecond || l.Rate.Bits != 1e6 || l.Duplicate != 0.5 {
		t.Errorf("the link became %+v", l)
	}
	if l.Delay != 7*time.Millisecond || l.MTU != 1500 {
		t.Errorf("what was not named changed: %+v", l)
	}
	if change, err = ParseSettings("up delay=0s"); err != nil {
		t.Fatal(err)
	}
	if change(&l); l.Down || l.Delay != 0 || l.Loss.Good != 0.25 {
		t.Errorf("the link became %+v", l)
	}
}

// TestAttackArguments: who is in league, and what is done.
func TestAttackArguments(t *testing.T) {
	t.Parallel()
	allies, what, err := ParseAttack(AttackArguments([]int{2, 7}, "delay share=7"))
	if err != nil || !slices.Equal(allies, []int{2, 7}) || what != "delay share=7" {
		t.Errorf("%v, %q, %v", allies, what, err)
	}
	if _, _, err := ParseAttack("mute"); err == nil {
		t.Error("an attack in league with nobody, not even itself")
	}
}
