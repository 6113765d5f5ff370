package sim

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/attack"
)

// TestClaimsDocument checks that every test, golden script, planted bug and attack that docs/claims.md names exists, that every bug
// names the tests that it stands beside, and that no attack is left out.
func TestClaimsDocument(t *testing.T) {
	t.Parallel()
	root := root(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "claims.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := allTests(t, root)
	bugs := map[string]mutant{}
	for _, pattern := range []string{"testdata/mutants/*.txt", "testdata/rules/*.txt"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			bugs[strings.TrimSuffix(filepath.Base(file), ".txt")] = readMutant(t, file)
		}
	}
	scripts := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(root, "internal", "core", "testdata", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		scripts[filepath.Base(file)] = true
	}
	name := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(string(page)) {
		for _, m := range name.FindAllStringSubmatch(line, -1) {
			switch word := m[1]; {
			case strings.HasPrefix(word, "Test") || strings.HasPrefix(word, "Fuzz"):
				if !tests[word] {
					t.Errorf("there is no test %s", word)
				}
			case strings.HasSuffix(word, ".txt") && word != ".txt":
				if !scripts[word] {
					t.Errorf("there is no golden script %s", word)
				}
			case strings.Contains(word, "_"):
				if _, ok := bugs[word]; !ok {
					t.Errorf("there is no bug %s", word)
				}
			}
		}
	}
	standBeside(t, string(page), bugs)
	for _, b := range attack.Behaviours() {
		if !strings.Contains(string(page), b.Name) {
			t.Errorf("the attack %s is left out", b.Name)
		}
	}
}

// standBeside checks that in each row of a table with bugs, each bug makes one of the row's tests fail, as far as it names tests; and
// that every bug of testdata/rules is somewhere on the page.
func standBeside(t *testing.T, page string, bugs map[string]mutant) {
	t.Helper()
	mentioned := map[string]bool{}
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		simulated := strings.Contains(line, "imulator") // which finds the bugs itself
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[len(cells)-2], -1) {
			bug, ok := bugs[m[1]]
			mentioned[m[1]] = true
			if !ok || simulated || len(bug.fails) == 0 {
				continue
			}
			if !slices.ContainsFunc(bug.fails, func(f string) bool {
				test := f[strings.LastIndexAny(f, " /")+1:]
				return strings.Contains(line, "`"+test+"`") || strings.Contains(line, "`"+test+".txt`")
			}) {
				t.Errorf("%s stands beside other tests than %v", m[1], bug.fails)
			}
		}
	}
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".txt"); !mentioned[name] {
			t.Errorf("the bug %s is on no row of docs/claims.md", name)
		}
	}
}

// allTests is the names of all tests and fuzz targets of the module.
func allTests(t *testing.T, root string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
