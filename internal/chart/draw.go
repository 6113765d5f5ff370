package chart

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sizes of what is drawn.
const (
	small  = vg.Length(9)  // letters of ticks, labels and legends
	normal = vg.Length(10) // letters of axes
	large  = vg.Length(12) // letters of the title
	gap    = vg.Length(8)  // between things
	thumb  = vg.Length(18) // the sample of a line in a legend
)

func points(p float64) vg.Length { return vg.Points(p) }

// palette has colours that people with any kind of colour vision can tell apart (Okabe and Ito).
func palette(i int) color.Color {
	list := [...]color.RGBA{
		{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255},
		{60, 60, 60, 255},
	}
	return list[(i%len(list)+len(list))%len(list)]
}

func grey(level uint8) color.Color { return color.RGBA{level, level, level, 255} }

// letters is a style of text.
func letters(size vg.Length) text.Style {
	return text.Style{
		Color: color.Black, Handler: plot.DefaultTextHandler,
		Font: font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size),
	}
}

// draw puts everything on a canvas.
func (c *Chart) draw(canvas draw.Canvas) error {
	x, err := c.horizontal()
	if err != nil {
		return err
	}
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	canvas = draw.Crop(canvas, gap, -gap, gap, -gap)
	if c.Title != "" {
		style := letters(large)
		style.XAlign, style.YAlign = draw.XLeft, draw.YTop
		canvas.FillText(style, vg.Point{X: canvas.Min.X, Y: canvas.Max.Y}, c.Title)
		canvas = draw.Crop(canvas, 0, 0, 0, -style.Height(c.Title)-gap)
	}
	legends := c.legends()
	var plots []*plot.Plot
	left, right := vg.Length(0), vg.Length(0)
	for i := range c.Panels {
		p, err := c.plot(i, x)
		if err != nil {
			return err
		}
		plots = append(plots, p)
		inner := p.DataCanvas(canvas)
		left, right = max(left, inner.Min.X-canvas.Min.X), max(right, canvas.Max.X-inner.Max.X)
		right = max(right, legends[i].width())
	}
	strip := c.layout(x, canvas.Max.X-canvas.Min.X-left-right)
	whole := canvas
	canvas = draw.Crop(canvas, 0, 0, 0, -strip.height)
	height := (canvas.Max.Y - canvas.Min.Y) / vg.Length(len(plots))
	for i, p := range plots {
		room := canvas
		room.Max.Y -= vg.Length(i) * height
		room.Min.Y = room.Max.Y - height + gap
		if i == len(plots)-1 {
			room.Min.Y = canvas.Min.Y
		}
		inner := p.DataCanvas(room) // all panels get the widest margins of any
		fit := draw.Crop(room, left-(inner.Min.X-room.Min.X), room.Max.X-inner.Max.X-right, 0, 0)
		p.Draw(fit)
		inner = p.DataCanvas(fit)
		legends[i].draw(fit, vg.Point{X: inner.Max.X + gap, Y: inner.Max.Y})
		if i == 0 {
			strip.draw(whole, inner)
		}
	}
	return nil
}

// plot makes one panel.
func (c *Chart) plot(i int, x axis) (*plot.Plot, error) {
	panel := &c.Panels[i]
	y, err := panel.vertical()
	if err != nil {
		return nil, err
	}
	p := plot.New()
	p.BackgroundColor = color.Transparent
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font = letters(normal).Font
		a.Tick.Label.Font = letters(small).Font
		a.Padding = 0
		a.Tick.Marker = evenTicks{}
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = x.from, x.to, y.from, y.to
	p.Y.Label.Text = panel.Y
	if i == len(c.Panels)-1 {
		p.X.Label.Text = c.X
	}
	if c.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	if panel.LogY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	p.Add(&background{c})
	for k := range panel.Series {
		p.Add(&curve{&panel.Series[k], c.LogX, panel.LogY})
	}
	return p, nil
}

// background is what is behind the curves: shades, a grid, marks.
type background struct{ chart *Chart }

// Plot implements plot.Plotter.
func (b *background) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, s := range b.chart.Shades {
		from, to := max(s.From, p.X.Min), min(s.To, p.X.Max)
		if from >= to {
			continue
		}
		c.FillPolygon(grey(228), []vg.Point{
			{X: x(from), Y: c.Min.Y}, {X: x(to), Y: c.Min.Y}, {X: x(to), Y: c.Max.Y}, {X: x(from), Y: c.Max.Y},
		})
	}
	thin := draw.LineStyle{Color: grey(215), Width: 0.4}
	for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if !t.IsMinor() && t.Value >= p.Y.Min && t.Value <= p.Y.Max {
			c.StrokeLine2(thin, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
		}
	}
	for _, m := range b.chart.Marks {
		if m.X >= p.X.Min && m.X <= p.X.Max {
			c.StrokeLine2(markLine(), x(m.X), c.Min.Y, x(m.X), c.Max.Y)
		}
	}
}

func markLine() draw.LineStyle {
	return draw.LineStyle{Color: grey(120), Width: 0.7, Dashes: []vg.Length{3, 2}}
}

// curve is one series.
type curve struct {
	*Series
	logX, logY bool
}

// Plot implements plot.Plotter.
func (s *curve) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	var line []vg.Point
	var lines [][]vg.Point
	for _, point := range s.Points {
		if math.IsNaN(point.X) || math.IsNaN(point.Y) || s.logX && point.X <= 0 || s.logY && point.Y <= 0 {
			lines, line = append(lines, line), nil
			continue
		}
		line = append(line, vg.Point{X: x(point.X), Y: y(point.Y)})
	}
	lines = append(lines, line)
	for _, line := range lines {
		if s.Style != Dots && len(line) > 1 {
			c.StrokeLines(s.line(), c.ClipLinesXY(line)...)
		}
		if s.Style == Dots || s.Style == Dotted || len(line) == 1 {
			for _, at := range line {
				c.DrawGlyph(s.dot(), at)
			}
		}
	}
}

func (s *Series) line() draw.LineStyle {
	l := draw.LineStyle{Color: palette(s.Colour), Width: 1.2}
	if s.Style == Dashed {
		l.Dashes = []vg.Length{5, 3}
	}
	return l
}

func (s *Series) dot() draw.GlyphStyle {
	radius := vg.Length(1.3)
	if s.Style == Dotted {
		radius = 2
	}
	return draw.GlyphStyle{Color: palette(s.Colour), Radius: radius, Shape: draw.CircleGlyph{}}
}
