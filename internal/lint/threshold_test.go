package lint

import (
	"strings"
	"testing"
)

// TestThresholdIsApart: only programs that name the threshold signature scheme contain it and its curve library; none of the
// packages that they embed, or simulate with, does.
func TestThresholdIsApart(t *testing.T) {
	t.Parallel()
	imports := map[string][]string{} // of each package: the project's with "./" before them, and others
	for _, s := range tree(t) {
		if s.test() {
			continue
		}
		project, others := s.imports()
		for _, p := range project {
			imports[s.dir] = append(imports[s.dir], "./"+p)
		}
		imports[s.dir] = append(imports[s.dir], others...)
	}
	curve := func(from string) bool {
		seen, next := map[string]bool{}, []string{from}
		for len(next) > 0 {
			dir := next[0]
			next = next[1:]
			for _, p := range imports[dir] {
				if strings.HasPrefix(p, "github.com/consensys/") {
					return true
				}
				if inner, ours := strings.CutPrefix(p, "./"); ours {
					if inner == "" {
						inner = "." // the root
					}
					if !seen[inner] {
						seen[inner] = true
						next = append(next, inner)
					}
				}
			}
		}
		return false
	}
	for _, dir := range []string{".", "app", "app/remote", "client", "config", "sim", "threshold", "transport/mesh", "transport/emulate"} {
		if len(imports[dir]) == 0 && dir != "threshold" && dir != "app" {
			t.Errorf("there is no package %s", dir)
		}
		if curve(dir) {
			t.Errorf("package %s contains a curve library: only who imports threshold/bls may pay for it", dir)
		}
	}
	for _, dir := range []string{"threshold/bls", "cmd/prime"} {
		if !curve(dir) {
			t.Errorf("package %s has no curve library: this test sees nothing", dir)
		}
	}
}
