package lab

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/config"
)

// rules are those of a cluster of four, with one attack.
func rules() Rules {
	return Rules{Replicas: 4, Duration: time.Minute,
		Attack: func(what string) error {
			if what != "delay" && what != "delay=400ms" {
				return errors.New("no such attack; write delay")
			}
			return nil
		},
		Settings: func(words string) error { _, err := ParseSettings(words); return err },
	}
}

func one(t Target) Targets { return Targets{t} }

// TestParse: every verb, roles, comments, several events in a line, and the order of times.
func TestParse(t *testing.T) {
	t.Parallel()
	text := `# a comment
at 9s heal   # and another
at 1s kill r3 ; at 500ms pause leader;
  at 2s resume all
at 3s restart r1,r2
at 3s attack follower delay=400ms; at 4s attack r1 none
at 5s partition r1,leader|r3
at 6s link r1<>all delay=20ms loss=0.01
at 7s link r1,r2>r3 down
`
	want := []Event{
		{At: 500 * time.Millisecond, Verb: Pause, Who: one(Target{Role: Leader}), Text: "pause leader"},
		{At: time.Second, Verb: Kill, Who: one(Target{ID: 3}), Text: "kill r3"},
		{At: 2 * time.Second, Verb: Resume, Who: one(Target{Role: All}), Text: "resume all"},
		{At: 3 * time.Second, Verb: Restart, Who: Targets{{ID: 1}, {ID: 2}}, Text: "restart r1,r2"},
		{At: 3 * time.Second, Verb: Attack, Who: one(Target{Role: Follower}), What: "delay=400ms", Text: "attack follower delay=400ms"},
		{At: 4 * time.Second, Verb: Attack, Who: one(Target{ID: 1}), What: NoAttack, Text: "attack r1 none"},
		{At: 5 * time.Second, Verb: Partition, Groups: []Targets{{{ID: 1}, {Role: Leader}}, {{ID: 3}}}, Text: "partition r1,leader|r3"},
		{At: 6 * time.Second, Verb: Link, Who: one(Target{ID: 1}), To: one(Target{Role: All}), Both: true, What: "delay=20ms loss=0.01",
			Text: "link r1<>all delay=20ms loss=0.01"},
		{At: 7 * time.Second, Verb: Link, Who: Targets{{ID: 1}, {ID: 2}}, To: one(Target{ID: 3}), What: "down", Text: "link r1,r2>r3 down"},
		{At: 9 * time.Second, Verb: Heal, Text: "heal"},
	}
	got, err := Parse("x.txt", text, true, rules())
	if err != nil {
		t.Fatal(err)
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("event %d:\n got %+v\nwant %+v", i, got[min(i, len(got)-1)], want[min(i, len(want)-1)])
		}
	}
	if got, err := Parse("--event", " ; \n#\n", false, rules()); err != nil || len(got) != 0 {
		t.Errorf("a script of nothing: %v, %v", got, err)
	}
}

// TestParseAttacks: attacks without times.
func TestParseAttacks(t *testing.T) {
	t.Parallel()
	got, err := ParseAttacks("--attack", "leader delay ;r2,r3  delay=400ms", rules())
	want := []Event{
		{Verb: Attack, Who: one(Target{Role: Leader}), What: "delay", Text: "attack leader delay"},
		{Verb: Attack, Who: Targets{{ID: 2}, {ID: 3}}, What: "delay=400ms", Text: "attack r2,r3 delay=400ms"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for text, says := range map[string]string{"": "takes a list", "r9 delay": "r9", "r1 none": "none is no attack", "r1 delay; r2 mute": "write delay"} {
		if _, err := ParseAttacks("--attack", text, rules()); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "--attack") {
			t.Errorf("ParseAttacks(%q): %v, want one that says %q", text, err, says)
		}
	}
}

// TestParseFaults: each fault names the file, the line, and what to do.
func TestParseFaults(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"kill r1": "at TIME VERB", "at 5s": "at TIME VERB", "at soon kill r1": `"500ms"`, "at 1m kill r1": "--duration", "at -1s kill r1": "--duration",
		"at 1s murder r1": "no verb", "at 1s kill": "kill r3", "at 1s kill r5": "r1 to r4", "at 1s kill 3": "r1 to r4", "at 1s kill r03": "r1 to r4",
		"at 1s kill r1 r2": "kill r1,r2", "at 1s pause r1,,r2": "no replica", "at 1s attack r1": "takes a list", "at 1s attack r1 shout": "write delay",
		"at 1s partition r1": "", "at 1s partition r1|r1": "two groups", "at 1s partition r1|": "no replica", "at 1s partition r1 r2": "with |",
		"at 1s heal r1": "heal takes nothing", "at 1s link r1 down": "no >", "at 1s link r1>r2": "what becomes", "at 1s link r1>r2 sideways": "down, up",
		"at 1s link r1>r2 loss=2": "from 0 to 1", "at 1s link r1>r2 delay=-1s": "duration", "at 1s link r1>r2 delay=5": "20ms",
		"at 1s link r1>r2 rate=x": "rate=10e6", "at 1s link r1>r2 rate=1": "1_000", "at 1s link r1>r9 up": "r1 to r4", "at 1s link x>r1 up": "r1 to r4",
		"at 1s resume " + strings.Repeat("r1,", 3000): "shorter", "at 1s restart": "restart r3",
	} {
		_, err := Parse("x.txt", "# first\n"+text, true, rules())
		if says == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		problems := config.Problems(err)
		if len(problems) != 1 || problems[0].File != "x.txt" || problems[0].Line != 2 || problems[0].Remedy == "" || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want one fault at x.txt:2 that says %q", text, err, says)
		}
	}
	_, err := Parse("--event", "at 1s kill r9; at 2s kill r8", false, rules())
	if problems := config.Problems(err); len(problems) != 2 || problems[0].Line != 0 || !strings.Contains(problems[0].Error(), "at 1s kill r9") {
		t.Errorf("a flag with two faults: %v", err)
	}
	if _, err := Parse("x", strings.Repeat("at 1s heal;", maxEvents+1), true, rules()); err == nil {
		t.Error("there is no limit")
	}
}

// FuzzParse: whatever is parsed is within what was asked for, and says the same when it is written again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"at 5s attack r1 delay; at 10s kill leader", "at 1s partition r1,r2|r3,r4\nat 2s heal", "at 3s link r1<>all loss=0.1 up # x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		events, err := Parse("x", text, true, rules())
		if err != nil {
			if len(events) != 0 || len(config.Problems(err)) == 0 {
				t.Errorf("%d events and %v", len(events), err)
			}
			return
		}
		var again []string
		for i, e := range events {
			if e.At < 0 || e.At >= time.Minute || i > 0 && e.At < events[i-1].At {
				t.Errorf("event %d is at %s", i, e.At)
			}
			again = append(again, "at "+e.At.String()+" "+e.Text)
		}
		same, err := Parse("x", strings.Join(again, ";"), true, rules())
		if err != nil || !reflect.DeepEqual(events, same) && len(events)+len(same) > 0 {
			t.Errorf("written again it is %v, %v", same, err)
		}
	})
}

// TestResolve: what roles mean at a moment.
func TestResolve(t *testing.T) {
	t.Parallel()
	well := func(ids ...int) func(int) bool { return func(id int) bool { return slices.Contains(ids, id) } }
	for _, c := range []struct {
		who    Targets
		leader int
		well   func(int) bool
		want   []int
	}{
		{Targets{{ID: 3}, {ID: 1}, {ID: 3}}, 1, well(), []int{1, 3}},
		{one(Target{Role: Leader}), 2, well(), []int{2}},
		{one(Target{Role: Follower}), 1, well(1, 2, 3, 4), []int{4}},
		{one(Target{Role: Follower}), 3, well(1, 2, 3, 4), []int{2}},
		{one(Target{Role: Follower}), 3, well(1, 4), []int{1}},
		{one(Target{Role: Follower}), 3, well(3), nil},
		{Targets{{Role: Leader}, {Role: Follower}}, 4, well(1, 2, 4), []int{2, 4}},
		{one(Target{Role: All}), 4, well(), []int{1, 2, 3, 4}},
	} {
		if got := c.who.Resolve(Moment{Replicas: 4, Leader: c.leader, Well: c.well}); !slices.Equal(got, c.want) {
			t.Errorf("%v with leader r%d = %v, want %v", c.who, c.leader, got, c.want)
		}
	}
}

// TestSides: replicas that a partition does not name are a group of their own, and each is in one group.
func TestSides(t *testing.T) {
	t.Parallel()
	m := Moment{Replicas: 5, Leader: 2, Well: func(int) bool { return true }}
	for text, want := range map[string][][]int{
		"r1,r2|r3,r4,r5": {{1, 2}, {3, 4, 5}}, "r4": {{4}, {1, 2, 3, 5}}, "leader|follower": {{2}, {1}, {3, 4, 5}},
		"r2,r3|leader": {{2, 3}, {1, 4, 5}}, "all": {{1, 2, 3, 4, 5}},
	} {
		r := rules()
		r.Replicas = 5
		events, err := Parse("x", "at 1s partition "+text, true, r)
		if err != nil {
			t.Fatal(err)
		}
		if got := events[0].Sides(m); !reflect.DeepEqual(got, want) {
			t.Errorf("partition %s has the sides %v, want %v", text, got, want)
		}
	}
}
