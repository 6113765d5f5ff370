package config

import "strings"

// nearest is the known name that a mistyped one is closest to; empty if none is close. The same key in another table is
// closest of all.
func nearest(name string, known []string) string {
	key := name[strings.LastIndexByte(name, '.')+1:]
	best, least := "", max(2, len(name)/3)+1
	if len(name) > 64 {
		return ""
	}
	for _, k := range known {
		if k == "" {
			continue
		}
		d := distance(name, k)
		if k[strings.LastIndexByte(k, '.')+1:] == key {
			d = 0
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many bytes must be put in, left out or changed to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
