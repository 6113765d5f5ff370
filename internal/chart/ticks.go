package chart

import (
	"math"

	"gonum.org/v1/plot"
)

// evenTicks has about six numbers on an axis, at steps of 1, 2 or 5 times a power of ten.
type evenTicks struct{}

// Ticks implements plot.Ticker.
func (evenTicks) Ticks(from, to float64) []plot.Tick {
	if !(from < to) || math.IsInf(to-from, 0) {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((to-from)/3)))
	for _, factor := range []float64{2, 2.5, 2} { // 2, 5 and 10 times
		if (to-from)/step > 7 {
			step *= factor
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(from/step - 1e-9); i*step <= to+step*1e-9; i++ {
		v := i * step
		ticks = append(ticks, plot.Tick{Value: v, Label: number(v)})
	}
	return ticks
}

// logTicks has numbers at powers of ten, and on a short axis between them.
type logTicks struct{}

// Ticks implements plot.Ticker.
func (logTicks) Ticks(from, to float64) []plot.Tick {
	decades := math.Log10(to) - math.Log10(from)
	var ticks []plot.Tick
	for power := math.Pow(10, math.Floor(math.Log10(from))); power <= to; power *= 10 {
		for digit := 1.0; digit < 10; digit++ {
			v := power * digit
			if v < from*0.9999 || v > to*1.0001 {
				continue
			}
			label := ""
			if digit == 1 || decades < 2.5 && (digit == 2 || digit == 5) || decades < 1 {
				label = number(v)
			}
			ticks = append(ticks, plot.Tick{Value: v, Label: label})
		}
	}
	return ticks
}
