package session

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestParseRoundTrips: a table that was parsed is the table, and stays so whatever is executed next.
func TestParseRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 4).Draw(t, "sessions")
		table := New(most, 64)
		execute := func(count string, tables ...*Table) {
			for range rapid.IntRange(0, 200).Draw(t, count) {
				c, seq := client(rapid.IntRange(0, 6).Draw(t, "client")), rapid.Uint64Range(1, 300).Draw(t, "seq")
				want := tables[0].Execute(c, seq, now)
				for _, other := range tables[1:] {
					if got := other.Execute(c, seq, now); got != want {
						t.Fatalf("client %s seq %d: %d, want %d", c, seq, got, want)
					}
				}
			}
		}
		execute("before", table)
		state := table.AppendState(nil)
		parsed, err := Parse(state, most, 64)
		if err != nil {
			t.Fatal(err)
		}
		if again := parsed.AppendState(nil); !bytes.Equal(again, state) {
			t.Fatalf("parsed as %x, was %x", again, state)
		}
		execute("after", table, parsed)
		if !bytes.Equal(parsed.AppendState(nil), table.AppendState(nil)) {
			t.Fatal("the tables differ later")
		}
	})
}

// TestParseRefuses is one case per rule.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	table := New(3, 64)
	for i, seq := range []uint64{100, 90, 7, 500, 130} { // the fourth forgets the first
		table.Execute(client(i%4), seq, now)
	}
	good := table.AppendState(nil)
	const each = 32 + 8 + 8 + 8
	if len(good) != 8+3*each {
		t.Fatalf("%d bytes", len(good))
	}
	at := func(session, field int) int { return 8 + session*each + 32 + field*8 }
	with := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	set := func(i int, v byte) []byte { return with(func(b []byte) []byte { b[i] = v; return b }) }
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"half a floor", good[:5]},
		{"half a session", good[:len(good)-1]},
		{"four sessions of three", with(func(b []byte) []byte { return append(b, b[8:8+each]...) })},
		{"one session twice", with(func(b []byte) []byte { copy(b[8+each:], b[8:8+each]); return b })},
		{"floor above the table's", set(at(0, 0)+7, 1)},
		{"highest number 0", with(func(b []byte) []byte { clear(b[at(0, 1) : at(0, 1)+8]); return b })},
		{"highest number not executed", set(at(0, 1), 91)},
		{"number 0 executed", with(func(b []byte) []byte { b[at(0, 2)] |= 1; return b })},
	} {
		if _, err := Parse(c.b, 3, 64); err == nil {
			t.Errorf("%s is accepted", c.name)
		}
	}
	if _, err := Parse(good, 3, 64); err != nil {
		t.Errorf("the table itself: %v", err)
	}
	if _, err := Parse(good, 2, 64); err == nil {
		t.Error("more sessions than there may be are accepted")
	}
}

// FuzzParse: any bytes give an error, or a table whose encoding they are.
func FuzzParse(f *testing.F) {
	table := New(3, 64)
	f.Add(table.AppendState(nil))
	for i := range 200 {
		table.Execute(client(i*7%5), uint64(i*13%257+1), now)
	}
	f.Add(table.AppendState(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := Parse(b, 3, 64)
		if err != nil {
			return
		}
		if again := table.AppendState(nil); !bytes.Equal(again, b) {
			t.Fatalf("parsed %x, which is written %x", b, again)
		}
		table.Execute(client(0), 1, now)
		table.Execute(client(9), 1<<63, now)
	})
}
