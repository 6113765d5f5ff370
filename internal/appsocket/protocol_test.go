package appsocket

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/primebft/prime/app"
	"github.com/primebft/prime/internal/localframe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFramesComeBack(t *testing.T) {
	t.Parallel()
	a := Attach{Version: Version, Cluster: [32]byte{1, 31: 2}, Epoch: 3, Resume: true, After: Position{Ordinal: 4, Index: 5}, Way: app.OwnWay}
	if got, err := ParseAttach(a.Append(nil)[5:]); err != nil || got != a {
		t.Errorf("%+v, %v", got, err)
	}
	w := Welcome{Version: Version, Replica: 64, Cluster: [32]byte{1}, Epoch: 9, After: Position{Ordinal: 1 << 63, Index: 7}}
	if got, err := ParseWelcome(w.Append(nil)[5:]); err != nil || got != w {
		t.Errorf("%+v, %v", got, err)
	}
	r := Results{First: Position{Ordinal: 3, Index: 2}, Results: [][]byte{{1, 2}, {}, {3}}}
	if got, err := ParseResults(r.Append(nil)[5:], nil); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v", got, err)
	}
	f := &Refused{Code: Gone, At: Position{Ordinal: 8, Index: 1}, Text: "gone"}
	if got, err := ParseRefused(f.Append(nil)[5:]); err != nil || *got != *f {
		t.Errorf("%+v, %v", got, err)
	}
	f.Text = strings.Repeat("x", 3*maxText)
	if got, err := ParseRefused(f.Append(nil)[5:]); err != nil || len(got.Text) != maxText {
		t.Errorf("a long text: %v", err)
	}
}

// TestLayouts are the frames of docs/application-socket.md, byte by byte: programs in other languages rely on them.
func TestLayouts(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 32)
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"attach": {(&Attach{Version: 2, Way: app.EnginesWay, Cluster: [32]byte{31: 9}, Epoch: 2, Resume: true, After: Position{Ordinal: 0x0102030405060708, Index: 3}}).Append(nil),
			"\x3e\x00\x00\x00" + "\x01" + "prime-app" + "\x02\x00" + zeros[1:] + "\x09" + "\x02\x00\x00\x00" + "\x01" +
				"\x08\x07\x06\x05\x04\x03\x02\x01" + "\x03\x00\x00\x00" + "\x01"},
		"data":     {(&Piece{Mark: Last, Data: []byte("ab")}).Append(nil, KindData), "\x04\x00\x00\x00" + "\x03" + "\x01" + "ab"},
		"restored": {(&Verdict{Mark: Failed, At: Position{Ordinal: 7, Index: 2}, Text: "no"}).Append(nil, KindRestored), "\x10\x00\x00\x00" + "\x04" + "\x02" + "\x07" + zeros[:7] + "\x02\x00\x00\x00" + "no"},
		"transfer": {AppendEmpty(nil, KindTransfer), "\x01\x00\x00\x00" + "\x06"},
		"snapshot": {At{Position{Ordinal: 7, Index: 2}}.Append(nil, KindSnapshot), "\x0d\x00\x00\x00" + "\x44" + "\x07" + zeros[:7] + "\x02\x00\x00\x00"},
		"gap": {Gap{Position{Ordinal: 7, Index: 2}, Position{Ordinal: 9, Index: 1}}.Append(nil), "\x19\x00\x00\x00" + "\x49" + "\x07" + zeros[:7] + "\x02\x00\x00\x00" +
			"\x09" + zeros[:7] + "\x01\x00\x00\x00"},
		"point": {Point{Position{Ordinal: 7, Index: 2}, 4}.Append(nil), "\x0e\x00\x00\x00" + "\x4a" + "\x07" + zeros[:7] + "\x02\x00\x00\x00" + "\x04"},
		"reset": {Reset{3}.Append(nil), "\x05\x00\x00\x00" + "\x4b" + "\x03\x00\x00\x00"},
		"results": {(&Results{First: Position{Ordinal: 7, Index: 2}, Results: [][]byte{[]byte("ab"), nil}}).Append(nil),
			"\x1b\x00\x00\x00" + "\x02" + "\x07" + zeros[:7] + "\x02\x00\x00\x00" + "\x02\x00\x00\x00" +
				"\x02\x00\x00\x00" + "ab" + "\x00\x00\x00\x00"},
		"welcome": {(&Welcome{Version: 1, Replica: 4, Epoch: 1, After: Position{Ordinal: 1, Index: 1}}).Append(nil),
			"\x34\x00\x00\x00" + "\x41" + "\x01\x00" + "\x04" + zeros + "\x01\x00\x00\x00" + "\x01" + zeros[:7] + "\x01\x00\x00\x00"},
		"records": {AppendRecords(nil, []app.Record{{Epoch: 1, Ordinal: 2, Index: 1, Total: 3, Origin: 4, Seq: 5, Time: -1, Payload: []byte("p")}}),
			"\x4f\x00\x00\x00" + "\x42" + "\x01\x00\x00\x00" + "\x01\x00\x00\x00" + "\x02" + zeros[:7] + "\x01\x00\x00\x00" +
				"\x03\x00\x00\x00" + "\x04" + zeros + "\x05" + zeros[:7] + strings.Repeat("\xff", 8) + "\x01\x00\x00\x00" + "p"},
		"refused": {(&Refused{Code: Gone, At: Position{Ordinal: 6, Index: 1}, Text: "no"}).Append(nil),
			"\x10\x00\x00\x00" + "\x43" + "\x03" + "\x06" + zeros[:7] + "\x01\x00\x00\x00" + "no"},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s:\n%x\n%x", name, c.got, c.want)
		}
	}
}

func TestVersionIsReadFirst(t *testing.T) {
	t.Parallel()
	if a, err := ParseAttach([]byte(magic + "\x09\x00and what a later version says")); err != nil || a.Version != 9 {
		t.Errorf("%+v, %v", a, err)
	}
	if w, err := ParseWelcome([]byte("\x09\x00and what a later version says")); err != nil || w.Version != 9 {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestBadResults(t *testing.T) {
	t.Parallel()
	good := (&Results{First: Position{Ordinal: 1, Index: 1}, Results: [][]byte{[]byte("result")}}).Append(nil)[5:]
	none := (&Results{First: Position{Ordinal: 1, Index: 1}}).Append(nil)[5:]
	large := (&Results{First: Position{Ordinal: 1, Index: 1}, Results: [][]byte{make([]byte, MaxResult+1)}}).Append(nil)[5:]
	many := append(bytes.Clone(none[:12]), 0xff, 0xff, 0xff, 0xff)
	for name, body := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-1], "trailing": append(bytes.Clone(good), 0), "none": none, "large": large, "many": many,
	} {
		if r, err := ParseResults(body, nil); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestBadRecords(t *testing.T) {
	t.Parallel()
	rec := func(ordinal uint64, index, total uint32) app.Record {
		return app.Record{Epoch: 1, Ordinal: ordinal, Index: index, Total: total}
	}
	for name, c := range map[string]struct {
		records []app.Record
		good    bool
	}{
		"in order":       {[]app.Record{rec(1, 2, 2), rec(2, 1, 1), rec(3, 1, 2), rec(3, 2, 2)}, true},
		"none":           {nil, false},
		"ordinal twice":  {[]app.Record{rec(1, 1, 1), rec(1, 1, 1)}, false},
		"ordinal missed": {[]app.Record{rec(1, 1, 1), rec(3, 1, 1)}, false},
		"index missed":   {[]app.Record{rec(1, 1, 3), rec(1, 3, 3)}, false},
		"end missed":     {[]app.Record{rec(1, 1, 2), rec(2, 1, 1)}, false},
		"begin missed":   {[]app.Record{rec(1, 1, 1), rec(2, 2, 2)}, false},
		"other total":    {[]app.Record{rec(1, 1, 3), rec(1, 2, 2)}, false},
		"index 0":        {[]app.Record{rec(1, 0, 1)}, false},
		"over total":     {[]app.Record{rec(1, 2, 1)}, false},
	} {
		_, err := ParseRecords(AppendRecords(nil, c.records)[5:], nil)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// again decodes the body of a frame and encodes what it found; nil if the kind is none, or the body says no more than another version.
func again(kind byte, body []byte) (frame []byte, err error) {
	switch kind {
	case KindAttach:
		a, err := ParseAttach(body)
		if a.Version != Version {
			return nil, nil
		}
		return a.Append(nil), err
	case KindWelcome:
		w, err := ParseWelcome(body)
		if w.Version != Version {
			return nil, nil
		}
		return w.Append(nil), err
	case KindResults:
		r, err := ParseResults(body, nil)
		return r.Append(nil), err
	case KindRecords:
		records, err := ParseRecords(body, nil)
		return AppendRecords(nil, records), err
	case KindRefused:
		r, err := ParseRefused(body)
		if err != nil {
			return nil, nil
		}
		return r.Append(nil), nil
	case KindData, KindRestoreData:
		p, err := ParsePiece(body)
		return p.Append(nil, kind), err
	case KindRestored, KindTaken:
		v, err := ParseVerdict(body)
		return v.Append(nil, kind), err
	case KindSnapshot, KindRestore:
		a, err := ParseAt(body)
		return a.Append(nil, kind), err
	case KindGap:
		g, err := ParseGap(body)
		return g.Append(nil), err
	case KindTransferPoint:
		p, err := ParsePoint(body)
		return p.Append(nil), err
	case KindReset:
		r, err := ParseReset(body)
		return r.Append(nil), err
	}
	return nil, nil
}

// FuzzFrames gives any body to every parser, and what they take to its encoder.
func FuzzFrames(f *testing.F) {
	f.Add(byte(KindAttach), (&Attach{Version: Version}).Append(nil)[5:])
	f.Add(byte(KindWelcome), (&Welcome{Version: Version}).Append(nil)[5:])
	f.Add(byte(KindResults), (&Results{Results: [][]byte{{1}}}).Append(nil)[5:])
	f.Add(byte(KindRecords), AppendRecords(nil, []app.Record{{Ordinal: 1, Index: 1, Total: 1}})[5:])
	f.Add(byte(KindRefused), (&Refused{Code: Busy, Text: "busy"}).Append(nil)[5:])
	f.Add(byte(KindData), (&Piece{Mark: Last, Data: []byte{1}}).Append(nil, KindData)[5:])
	f.Add(byte(KindTaken), (&Verdict{Text: "ok"}).Append(nil, KindTaken)[5:])
	f.Add(byte(KindSnapshot), At{}.Append(nil, KindSnapshot)[5:])
	f.Add(byte(KindGap), Gap{}.Append(nil)[5:])
	f.Add(byte(KindTransferPoint), Point{}.Append(nil)[5:])
	f.Add(byte(KindReset), Reset{}.Append(nil)[5:])
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		got, err := again(kind, body)
		if err != nil || got == nil {
			return
		}
		b, start := localframe.Begin(nil, kind)
		if want := localframe.End(append(b, body...), start); !bytes.Equal(got, want) {
			t.Fatal("the encoding is not canonical")
		}
	})
}
