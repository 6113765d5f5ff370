package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// speaker is a replica whose application moves its state in its own way (examples/own-transfer): it counts words.
type speaker struct {
	*process
	in *os.File
}

// speakers are the replicas of a cluster of such.
type speakers struct {
	*cluster
	args []string // addresses at which the applications take states
	of   [5]speaker
}

// begin runs one of them.
func (s *speakers) begin(i int) speaker {
	s.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = write.Close() })
	s.of[i] = speaker{spawnWith(s.t, read, "own-transfer", append([]string{s.folder(i)}, s.args...)...), write}
	return s.of[i]
}

// end kills one of them.
func (s *speakers) end(i int) {
	s.t.Helper()
	s.of[i].signal(syscall.SIGKILL)
	s.of[i].exit()
	_ = s.of[i].in.Close()
}

// refused is what an application prints of an update while it waits for state: it was not taken.
const refused = "error: application cannot answer"

// say submits a word so many times, one after the other, at a replica, whose application then has to have counted it so often. While that
// waits for state the update is refused, and said again.
func (s *speakers) say(i int, word string, times, want int) {
	s.t.Helper()
	p, line := s.of[i], fmt.Sprintf("\n%s: %d\n", word, want)
	for said := false; !said; {
		before := strings.Count(p.said(), refused)
		if _, err := p.in.WriteString(strings.Repeat(word+"\n", times)); err != nil {
			s.t.Fatal(err)
		}
		p.until(strings.TrimSpace(line), func(text string) bool {
			said = strings.Contains("\n"+text, line)
			return said || times == 1 && strings.Count(text, refused) > before
		})
	}
}

// gap waits until an application has been told that records are lost.
func (p speaker) gap() {
	p.t.Helper()
	p.until("a gap", func(text string) bool { return strings.Contains(text, "are lost; waiting for the state of others") })
}

// TestOwnTransfer: applications that move their state themselves. One that was away until nobody holds what it missed is told so, and takes
// over what the others hand it at a transfer point, although a helper is killed in the middle, and although it is killed itself; from then
// on it has been given every record once: it counts as the others do.
func TestOwnTransfer(t *testing.T) {
	s := &speakers{cluster: forgetful(t, "durable", "digest")}
	base := ports(t, 4)
	for i := range 4 {
		s.args = append(s.args, fmt.Sprintf("127.0.0.1:%d", base+i))
	}
	for i := 1; i <= 4; i++ {
		s.begin(i)
	}
	for i := 1; i <= 4; i++ {
		s.say(i, "word", 3, 3*i)
	}
	s.end(4)
	s.say(1, "word", 250, 262)

	s.begin(4).gap()
	s.end(2) // a helper; f+1 are left
	s.say(4, "word", 1, 263)
	s.say(1, "word", 1, 264)
	s.say(4, "other", 1, 1)

	s.begin(2).gap() // a process that begins anew has no state
	s.say(2, "word", 1, 265)

	s.end(4)
	s.say(1, "word", 250, 515)
	s.begin(4).gap()
	s.end(4) // the one that waits
	s.say(1, "word", 10, 525)
	s.begin(4).gap()
	s.say(4, "word", 1, 526)

	for _, i := range []int{3, 4} { // asked for, although nothing is missing
		if _, err := s.of[i].in.WriteString("!\n"); err != nil {
			t.Fatal(err)
		}
	}
	s.say(3, "word", 20, 546)
	s.say(4, "word", 20, 566)
	for i := 1; i <= 4; i++ {
		s.say(i, "end", 1, i)
	}
}
