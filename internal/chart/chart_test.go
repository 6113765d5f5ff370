package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is a chart of everything that there is.
func sample() *Chart {
	wave := func(k float64) (list []Point) {
		for i := range 200 {
			x := float64(i) / 10
			y := k * (2 + math.Sin(x))
			if i > 90 && i < 100 {
				y = math.NaN()
			}
			list = append(list, Point{x, y})
		}
		return list
	}
	return &Chart{
		Title: "A sample", X: "seconds", From: 0, To: 20,
		Panels: []Panel{
			{Y: "updates per second", Series: []Series{{Name: "acknowledged", Points: wave(1000)}}},
			{Y: "latency, ms", LogY: true, Series: []Series{
				{Name: "median", Points: wave(5)}, {Name: "99 %", Style: Dots, Colour: 1, Points: wave(20)},
				{Name: "bound", Style: Dashed, Colour: 2, Points: []Point{{0, 100}, {20, 100}}},
				{Name: "the paper", Style: Dotted, Colour: 3, Points: []Point{{2, 3}, {5, 4}, {9, 8}}},
			}},
		},
		Marks:  []Mark{{5, "attack r1 delay"}, {5.5, "kill r2"}, {12, "partition r1,r2|r3,r4"}, {19, "heal all of it"}},
		Shades: []Shade{{7, 7.5}, {15, 15.1}},
	}
}

// texts are all texts of an SVG file, which is thereby checked for being XML.
func texts(t *testing.T, svg []byte) string {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	var all []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(all, "\n")
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		if data, ok := token.(xml.CharData); ok {
			all = append(all, strings.TrimSpace(string(data)))
		}
	}
}

// TestSave: both formats are what they should be, and the SVG says what the chart says.
func TestSave(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a.svg", "a.PNG"} {
		if err := sample().Save(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	svg, err := os.ReadFile(filepath.Join(dir, "a.svg"))
	if err != nil {
		t.Fatal(err)
	}
	said := texts(t, svg)
	for _, want := range []string{"A sample", "seconds", "updates per second", "latency, ms", "median", "99 %", "bound",
		"attack r1 delay", "kill r2", "partition r1,r2|r3,r4", "heal all of it"} {
		if !strings.Contains(said, want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
	f, err := os.Open(filepath.Join(dir, "a.PNG"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if b := picture.Bounds(); b.Dx() < 500 || b.Dy() < 300 {
		t.Errorf("the picture is %v", b)
	}
}

// TestHostileCharts: values that no diagram has room for neither crash nor stop the drawing.
func TestHostileCharts(t *testing.T) {
	t.Parallel()
	inf, nan := math.Inf(1), math.NaN()
	for name, c := range map[string]*Chart{
		"no points":   {Panels: []Panel{{}}},
		"no series":   {Panels: []Panel{{Series: []Series{{Name: "x"}}}}, LogX: true},
		"one point":   {Panels: []Panel{{Series: []Series{{Points: []Point{{3, 0}}}}}}},
		"one, log":    {LogX: true, Panels: []Panel{{LogY: true, Series: []Series{{Points: []Point{{3, 4}}}}}}},
		"not numbers": {Panels: []Panel{{Series: []Series{{Points: []Point{{nan, 1}, {1, nan}, {inf, inf}, {2, 2}}}}}}},
		"negative":    {LogX: true, Panels: []Panel{{LogY: true, Series: []Series{{Points: []Point{{-1, -1}, {0, 0}, {1, 1}, {10, 10}}}}}}},
		"far marks":   {From: 1, To: 2, Panels: []Panel{{}}, Marks: []Mark{{-5, "before"}, {99, "after"}, {1, strings.Repeat("long ", 100)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if err := c.Write(&b, "svg"); err != nil {
				t.Fatal(err)
			}
			texts(t, b.Bytes())
		})
	}
}

// TestRefusals: what cannot be drawn is said.
func TestRefusals(t *testing.T) {
	t.Parallel()
	if err := (&Chart{}).Write(io.Discard, "svg"); err == nil {
		t.Error("nothing was drawn")
	}
	if err := sample().Write(io.Discard, "bmp"); err == nil {
		t.Error("an unknown format was written")
	}
	for _, file := range []string{"x", "x.bmp", "svg"} {
		if err := sample().Save(filepath.Join(t.TempDir(), file)); err == nil || !strings.Contains(err.Error(), "svg or png") {
			t.Errorf("%s: %v", file, err)
		}
	}
	if err := (&Chart{LogX: true, From: 0, To: 1, Panels: []Panel{{}}}).Write(io.Discard, "svg"); err == nil {
		t.Error("a logarithmic axis began at 0")
	}
	if err := (&Chart{Panels: []Panel{{LogY: true, From: -1, To: 1}}}).Write(io.Discard, "svg"); err == nil {
		t.Error("a logarithmic axis began below 0")
	}
}

// TestLabelsDoNotCover: no two labels of one row share a place, and every mark inside the axis has its label.
func TestLabelsDoNotCover(t *testing.T) {
	t.Parallel()
	c := &Chart{From: 0, To: 100, Panels: []Panel{{}}}
	for i := range 40 {
		c.Marks = append(c.Marks, Mark{float64((i * 37) % 101), strings.Repeat("x", i%9+1)})
	}
	s := c.layout(axis{0, 100}, 500)
	if len(s.labels) != len(c.Marks) {
		t.Errorf("%d labels of %d marks", len(s.labels), len(c.Marks))
	}
	for i, a := range s.labels {
		for _, b := range s.labels[i+1:] {
			if a.covers(b) {
				t.Errorf("%q at %g covers %q at %g", a.mark.Label, a.mark.X, b.mark.Label, b.mark.X)
			}
		}
	}
}

// TestTicks: an axis has a readable number of ticks, all of them on it.
func TestTicks(t *testing.T) {
	t.Parallel()
	for _, a := range []axis{{0, 1}, {0, 20}, {0, 3150}, {0, 0.0021}, {-5, 5}, {99.5, 100.5}, {0, 7e9}} {
		ticks := evenTicks{}.Ticks(a.from, a.to)
		if len(ticks) < 3 || len(ticks) > 9 {
			t.Errorf("%v has %d ticks: %v", a, len(ticks), ticks)
		}
		for _, tick := range ticks {
			if length := a.to - a.from; tick.Value < a.from-length*1e-6 || tick.Value > a.to+length*1e-6 || len(tick.Label) > 6 {
				t.Errorf("%v has a tick %v", a, tick)
			}
		}
	}
	if ticks := (logTicks{}).Ticks(1, 1e6); len(ticks) == 0 || ticks[0].Label != "1" {
		t.Errorf("a logarithmic axis has the ticks %v", ticks)
	}
}
