// Package chart draws figures: panels of lines and dots over a common horizontal axis, with times or places marked in all of
// them. The drawing itself is gonum's plot; here is how our figures look.
//
// Only cmd/prime uses it: a program that embeds the library does not contain it.
package chart

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot/vg/draw"
	_ "gonum.org/v1/plot/vg/vgimg" // PNG
	_ "gonum.org/v1/plot/vg/vgsvg" // SVG
)

// Chart is one figure.
type Chart struct {
	Title  string
	X      string  // what the horizontal axis shows
	LogX   bool    // what is not above 0 is left out
	From   float64 // of the horizontal axis; with To not above From, both are as the data has them
	To     float64
	Panels []Panel // from top to bottom
	Marks  []Mark  // in every panel, with their labels above the first
	Shades []Shade // in every panel, behind everything

	Width, Height float64 // points, 1/72 inch; 0: 720 by 220 for each panel
}

// Panel is one diagram of a figure.
type Panel struct {
	Y      string // what the vertical axis shows
	LogY   bool   // what is not above 0 is left out
	From   float64
	To     float64 // not above From: from 0, or from the smallest if LogY, to the largest value
	Series []Series
}

// Style is how a series is drawn.
type Style int

// The styles.
const (
	Line   Style = iota // through all points
	Dots                // at each point
	Dotted              // a line with a dot at each point
	Dashed              // a broken line, for limits and for what others have measured
)

// Series is points that belong together.
type Series struct {
	Name   string // in the legend; "": it has none
	Style  Style
	Colour int // index into the palette; series of one colour belong together
	Points []Point
}

// Point is one value. A Y that is not a number interrupts the line.
type Point struct{ X, Y float64 }

// Mark is a vertical line.
type Mark struct {
	X     float64
	Label string
}

// Shade is a stretch of the horizontal axis.
type Shade struct{ From, To float64 }

// Formats are the endings of files that can be written.
func Formats() []string { return []string{"svg", "png"} }

// Format is what the ending of a file asks for.
func Format(file string) (string, error) {
	format := strings.ToLower(strings.TrimPrefix(filepath.Ext(file), "."))
	for _, f := range Formats() {
		if f == format {
			return f, nil
		}
	}
	return "", fmt.Errorf("%s: a picture is written as %s: give a file that ends so", file, strings.Join(Formats(), " or "))
}

// Save writes the chart to a file, in the format that its ending names.
func (c *Chart) Save(file string) (err error) {
	format, err := Format(file)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(c.Write(f, format), f.Close())
}

// Write draws the chart in a format.
func (c *Chart) Write(w io.Writer, format string) error {
	if len(c.Panels) == 0 {
		return errors.New("chart: there is no panel to draw")
	}
	width, height := c.Width, c.Height
	if width <= 0 {
		width = 720
	}
	if height <= 0 {
		height = 220 * float64(len(c.Panels))
	}
	canvas, err := draw.NewFormattedCanvas(points(width), points(height), format)
	if err != nil {
		return fmt.Errorf("chart: %w", err)
	}
	if err := c.draw(draw.New(canvas)); err != nil {
		return err
	}
	_, err = canvas.WriteTo(w)
	return err
}

// axis is from where to where an axis goes.
type axis struct{ from, to float64 }

// horizontal is the axis that all panels share.
func (c *Chart) horizontal() (axis, error) {
	if c.From < c.To {
		if c.LogX && c.From <= 0 {
			return axis{}, errors.New("chart: a logarithmic axis begins above 0")
		}
		return axis{c.From, c.To}, nil
	}
	a := axis{math.Inf(1), math.Inf(-1)}
	for i := range c.Panels {
		for _, s := range c.Panels[i].Series {
			for _, p := range s.Points {
				a.take(p.X, c.LogX)
			}
		}
	}
	for _, m := range c.Marks {
		a.take(m.X, c.LogX)
	}
	return a.settled(c.LogX), nil
}

// vertical is a panel's own axis.
func (p *Panel) vertical() (axis, error) {
	if p.From < p.To {
		if p.LogY && p.From <= 0 {
			return axis{}, errors.New("chart: a logarithmic axis begins above 0")
		}
		return axis{p.From, p.To}, nil
	}
	a := axis{math.Inf(1), math.Inf(-1)}
	if !p.LogY {
		a.from = 0
	}
	for _, s := range p.Series {
		for _, point := range s.Points {
			a.take(point.Y, p.LogY)
		}
	}
	a = a.settled(p.LogY)
	if p.LogY { // the highest value does not touch the frame
		a.to *= 1.2
	} else {
		a.to += (a.to - a.from) / 20
	}
	return a, nil
}

func (a *axis) take(v float64, logarithmic bool) {
	if math.IsNaN(v) || math.IsInf(v, 0) || logarithmic && v <= 0 {
		return
	}
	a.from, a.to = min(a.from, v), max(a.to, v)
}

// settled is an axis that has a length.
func (a axis) settled(logarithmic bool) axis {
	switch {
	case a.from > a.to && logarithmic:
		return axis{1, 10}
	case a.from > a.to:
		return axis{0, 1}
	case a.from == a.to && logarithmic:
		return axis{a.from / 2, a.to * 2}
	case a.from == a.to:
		return axis{a.from, a.to + 1}
	}
	return a
}
