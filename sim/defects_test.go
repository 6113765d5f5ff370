package sim

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestDefectiveRules plants the bugs that name tests, those of testdata/mutants that the simulator finds too and those of
// testdata/rules that only a test is sharp enough for, and expects each of these tests to fail. So every defect that
// docs/claims.md lists has a test that fails on the defective rule.
func TestDefectiveRules(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tests of a package for each bug")
	}
	t.Parallel()
	var files []string
	for _, pattern := range []string{"testdata/mutants/*.txt", "testdata/rules/*.txt"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	slots, named := make(chan struct{}, runtime.GOMAXPROCS(0)), 0
	for i, file := range files {
		m := readMutant(t, file)
		if len(m.fails) == 0 {
			if strings.Contains(file, "rules") {
				t.Errorf("%s names no test", file)
			}
			continue
		}
		if named++; !planted(i, 1) {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			expectFailures(t, m)
		})
	}
	if named < 20 {
		t.Errorf("%d bugs name tests: there should be twenty at least", named)
	}
}

// TestBugsCanBePlanted checks, without building anything, that every bug still finds the lines that it changes.
func TestBugsCanBePlanted(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"testdata/mutants/*.txt", "testdata/rules/*.txt"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) < 30 {
			t.Fatalf("%d bugs match %s, error %v", len(files), pattern, err)
		}
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				plant(t, readMutant(t, file), t.TempDir(), root(t))
			})
		}
	}
}

// expectFailures builds the tests that a bug names with the bug in the sources, and runs them.
func expectFailures(t *testing.T, m mutant) {
	t.Helper()
	dir, root := t.TempDir(), root(t)
	overlay := plant(t, m, dir, root)
	var packages []string
	tests := map[string][]string{}
	for _, f := range m.fails {
		pkg, name, ok := strings.Cut(f, " ")
		if !ok {
			t.Fatalf("%q: want a package and a test", f)
		}
		if !slices.Contains(packages, pkg) {
			packages = append(packages, pkg)
		}
		tests[pkg] = append(tests[pkg], name)
	}
	for _, pkg := range packages {
		work := withTestdata(t, filepath.Join(root, filepath.FromSlash(pkg)))
		binary := filepath.Join(dir, strings.ReplaceAll(pkg, "/", "_"))
		build := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, "./"+pkg)
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("the bug does not compile: %v\n%s", err, out)
		}
		for _, name := range tests[pkg] {
			run := exec.Command(binary, "-test.run", exactly(name), "-test.timeout", "2m")
			run.Dir = work
			out, err := run.CombinedOutput()
			if text := string(out); err == nil || !strings.Contains(text, "--- FAIL: "+name) && !strings.Contains(text, "panic: ") {
				t.Errorf("%s: %s %s does not fail on the defective rule: %v\n%s", m.why, pkg, name, err, text)
			}
		}
	}
}

// withTestdata is a folder with a copy of a package's test data: tests that fail may leave something there.
func withTestdata(t *testing.T, pkg string) string {
	t.Helper()
	dir, data := t.TempDir(), filepath.Join(pkg, "testdata")
	if _, err := os.Stat(data); err != nil {
		return dir
	}
	if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// exactly is the pattern that matches one test, or subtest, and no other.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + strings.ReplaceAll(p, ".", `\.`) + "$"
	}
	return strings.Join(parts, "/")
}
