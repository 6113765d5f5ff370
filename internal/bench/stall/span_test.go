package stall

import (
	"slices"
	"testing"
	"time"
)

func TestEverywhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		lists [][]Span
		want  []Span
	}{
		{"no processor", nil, nil},
		{"one processor", [][]Span{{{1, 3}, {5, 9}}}, []Span{{1, 3}, {5, 9}}},
		{"one never stood still", [][]Span{{{1, 3}}, nil}, nil},
		{"apart", [][]Span{{{1, 3}}, {{3, 5}}}, nil},
		{"overlap", [][]Span{{{1, 4}}, {{3, 5}}}, []Span{{3, 4}}},
		{"one inside the other", [][]Span{{{0, 100}}, {{10, 20}, {30, 40}}}, []Span{{10, 20}, {30, 40}}},
		{"equal ends", [][]Span{{{0, 10}, {20, 30}}, {{5, 10}, {20, 25}}}, []Span{{5, 10}, {20, 25}}},
		{"a chain", [][]Span{{{0, 10}, {12, 20}}, {{5, 15}, {18, 30}}}, []Span{{5, 10}, {12, 15}, {18, 20}}},
		{"three", [][]Span{{{0, 10}}, {{2, 8}, {9, 12}}, {{1, 3}, {7, 11}}}, []Span{{2, 3}, {7, 8}, {9, 10}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := Everywhere(c.lists); !slices.Equal(got, c.want) {
				t.Errorf("Everywhere = %v, want %v", got, c.want)
			}
			slices.Reverse(c.lists)
			if got := Everywhere(c.lists); !slices.Equal(got, c.want) {
				t.Errorf("in the other order: Everywhere = %v, want %v", got, c.want)
			}
		})
	}
}

func TestClipAndTotal(t *testing.T) {
	t.Parallel()
	list := []Span{{0, 10}, {20, 30}, {40, 50}}
	for _, c := range []struct {
		window Span
		want   []Span
		total  time.Duration
	}{
		{Span{0, 100}, list, 30},
		{Span{5, 25}, []Span{{5, 10}, {20, 25}}, 10},
		{Span{10, 20}, nil, 0},
		{Span{42, 43}, []Span{{42, 43}}, 1},
		{Span{43, 42}, nil, 0},
		{Span{60, 70}, nil, 0},
	} {
		got := Clip(list, c.window)
		if !slices.Equal(got, c.want) || Total(got) != c.total {
			t.Errorf("Clip(%v) = %v of %v, want %v of %v", c.window, got, Total(got), c.want, c.total)
		}
	}
}
