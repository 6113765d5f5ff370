package chart

import (
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// number is v as on an axis: four digits hide what computing in binary has left.
func number(v float64) string {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return ""
	}
	if short == 0 { // neither sign
		return "0"
	}
	return strconv.FormatFloat(short, 'g', -1, 64)
}

// legend is the names of a panel's series, to the right of it.
type legend []*Series

// legends are those of all panels. A single series needs none if the axis says what it is.
func (c *Chart) legends() []legend {
	all := make([]legend, len(c.Panels))
	for i := range c.Panels {
		for k := range c.Panels[i].Series {
			if s := &c.Panels[i].Series[k]; s.Name != "" {
				all[i] = append(all[i], s)
			}
		}
	}
	return all
}

func (l legend) width() vg.Length {
	widest := vg.Length(0)
	for _, s := range l {
		widest = max(widest, gap+thumb+gap/2+width(s.Name))
	}
	return widest
}

// width is the room that a label needs. Whoever looks at an SVG may have other, wider letters than the ones that it names.
func width(text string) vg.Length { return letters(small).Width(text) * 1.15 }

// draw begins at the top right of a panel's frame.
func (l legend) draw(c draw.Canvas, corner vg.Point) {
	style := letters(small)
	style.YAlign = draw.YCenter
	x, y := corner.X, corner.Y-small/2
	for _, s := range l {
		if s.Style != Dots {
			c.StrokeLine2(s.line(), x, y, x+thumb, y)
		}
		if s.Style == Dots || s.Style == Dotted {
			c.DrawGlyphNoClip(s.dot(), vg.Point{X: x + thumb/2, Y: y})
		}
		c.FillText(style, vg.Point{X: x + thumb + gap/2, Y: y}, s.Name)
		y -= small * 1.5
	}
}

// strip is the labels of the marks, in as many rows above the first panel as they need in order not to cover each other.
type strip struct {
	labels []label
	height vg.Length
}

type label struct {
	mark  Mark
	at    vg.Length // from the left end of the horizontal axis
	begin vg.Length // of the text, likewise
	row   int       // from below
}

// layout finds a row for each label, given the length of the horizontal axis. A label is to the right of its line, or, where the
// axis would end before it does, to the left.
func (c *Chart) layout(x axis, length vg.Length) strip {
	var s strip
	marks := slices.Clone(c.Marks)
	slices.SortStableFunc(marks, func(a, b Mark) int {
		switch {
		case a.X < b.X:
			return -1
		case a.X > b.X:
			return 1
		}
		return 0
	})
	rows := 0
	for _, m := range slices.Backward(marks) { // the last is lowest, so that no line crosses a label that begins before it
		if m.Label == "" || m.X < x.from || m.X > x.to {
			continue
		}
		l := label{mark: m, at: vg.Length(share(x, m.X, c.LogX)) * length}
		l.begin = l.at + 2
		if l.begin+width(m.Label) > length {
			l.begin = l.at - 2 - width(m.Label)
		}
		for slices.ContainsFunc(s.labels, l.covers) {
			l.row++
		}
		rows = max(rows, l.row+1)
		s.labels = append(s.labels, l)
	}
	if rows > 0 {
		s.height = vg.Length(rows)*small*1.4 + gap/2
	}
	return s
}

// covers reports whether two labels with their lines are at one place of one row.
func (l *label) covers(o label) bool {
	from, to := l.place()
	begin, end := o.place()
	return l.row == o.row && from-gap/2 < end && begin < to+gap/2
}

// place is from where to where a label and its line are.
func (l *label) place() (from, to vg.Length) {
	return min(l.begin, l.at), max(l.begin+width(l.mark.Label), l.at)
}

// share is how far along an axis a value is, from 0 to 1.
func share(a axis, v float64, logarithmic bool) float64 {
	if logarithmic {
		return math.Log(v/a.from) / math.Log(a.to/a.from)
	}
	return (v - a.from) / (a.to - a.from)
}

// draw puts the labels above the frame of the first panel, and joins them to their lines.
func (s *strip) draw(c draw.Canvas, frame draw.Canvas) {
	style := letters(small)
	for _, l := range s.labels {
		y := frame.Max.Y + gap/2 + vg.Length(l.row)*small*1.4
		c.StrokeLine2(markLine(), frame.Min.X+l.at, frame.Max.Y, frame.Min.X+l.at, y+small)
		c.FillText(style, vg.Point{X: frame.Min.X + l.begin, Y: y}, l.mark.Label)
	}
}
