package sim

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// mutantSeeds is within how many worlds every planted bug has to be found.
const mutantSeeds = "500"

// TestPlantedBugs builds the simulator once for each bug in testdata/mutants, with the bug in it and the sources as they are
// (go build -overlay), and expects it to find a violation. So the checkers are tested, and the core needs no hooks for that.
func TestPlantedBugs(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a binary for each bug")
	}
	t.Parallel()
	files, err := filepath.Glob("testdata/mutants/*.txt")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d planted bugs, error %v: there should be a dozen at least", len(files), err)
	}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, file := range files {
		if !planted(i, 0) {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			m := readMutant(t, file)
			slots <- struct{}{}
			defer func() { <-slots }()
			start := time.Now()
			found := hunt(t, buildMutant(t, m), m.flags)
			t.Logf("%s\nfound after %v: %s", m.why, time.Since(start).Round(time.Millisecond), found)
			if found == "" {
				t.Errorf("not found in %s worlds: %s", mutantSeeds, m.why)
			}
		})
	}
}

// planted reports whether the i-th bug is planted by a test: every one of them if PRIME_EVERY_BUG is set, and otherwise every fifth from
// the first-th on, for there are so many that building them takes half an hour.
func planted(i, first int) bool { return os.Getenv("PRIME_EVERY_BUG") != "" || i%5 == first }

// TestHuntFindsNothingWithoutABug guards against a hunt that finds a violation because it is itself broken.
func TestHuntFindsNothingWithoutABug(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a binary")
	}
	t.Parallel()
	binary := buildMutant(t, mutant{})
	if out, err := exec.Command(binary, "-to", "20").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// mutant is a planted bug.
type mutant struct {
	why   string
	flags []string // of the hunt
	fails []string // tests that have to fail because of it: the package, a space, the test's name; see TestDefectiveRules
	edits []edit
}

// edit replaces the only occurrence of the lines old in file by new.
type edit struct{ file, old, new string }

// readMutant reads a bug: a line "why: …", perhaps a line "flags: …" for the hunt, any number of lines "fails: …", then for each
// edit "file: …", a line "--- old", the old text, a line "--- new" and the new text.
func readMutant(t *testing.T, name string) (m mutant) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var into *string
	for _, line := range strings.SplitAfter(string(text), "\n") {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "why: "):
			m.why = strings.TrimPrefix(trimmed, "why: ")
		case strings.HasPrefix(line, "flags: "):
			m.flags = strings.Fields(strings.TrimPrefix(trimmed, "flags: "))
		case strings.HasPrefix(line, "fails: "):
			m.fails = append(m.fails, strings.TrimPrefix(trimmed, "fails: "))
		case strings.HasPrefix(line, "file: "):
			m.edits, into = append(m.edits, edit{file: strings.TrimPrefix(trimmed, "file: ")}), nil
		case trimmed == "--- old" && len(m.edits) > 0:
			into = &m.edits[len(m.edits)-1].old
		case trimmed == "--- new" && len(m.edits) > 0:
			into = &m.edits[len(m.edits)-1].new
		case into != nil:
			*into += line
		case trimmed != "":
			t.Fatalf("%s: unexpected line %q", name, trimmed)
		}
	}
	if m.why == "" || len(m.edits) == 0 {
		t.Fatalf("%s: no reason or no edit", name)
	}
	for _, e := range m.edits {
		if e.old == e.new || strings.TrimSpace(e.old) == "" {
			t.Fatalf("%s: an edit of %s changes nothing", name, e.file)
		}
	}
	return m
}

// buildMutant builds the hunt with a bug and returns the binary.
func buildMutant(t *testing.T, m mutant) string {
	t.Helper()
	dir, root := t.TempDir(), root(t)
	binary := filepath.Join(dir, "hunt")
	build := exec.Command("go", "build", "-overlay", plant(t, m, dir, root), "-o", binary, "./sim/testdata/hunt")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the bug does not compile: %v\n%s", err, out)
	}
	return binary
}

// root is the folder of the module.
func root(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// plant writes the files that a bug changes, and the overlay that puts them in the place of the sources, into dir. It returns
// the overlay.
func plant(t *testing.T, m mutant, dir, root string) string {
	t.Helper()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for _, e := range m.edits {
		path := filepath.Join(root, filepath.FromSlash(e.file))
		source, changed := path, filepath.Join(dir, strings.ReplaceAll(e.file, "/", "_"))
		if before, ok := overlay.Replace[path]; ok {
			source = before // a second edit of one file
		}
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		planted, count := replaceLines(string(text), e.old, e.new)
		if count != 1 {
			t.Fatalf("%s has the old text %d times; the bug has to be planted anew:\n%s", e.file, count, e.old)
		}
		if err := os.WriteFile(changed, []byte(planted), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = changed
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// replaceLines replaces the lines of before by those of after wherever text has them, whatever their indentation, and says
// how often that was.
func replaceLines(text, before, after string) (string, int) {
	lines, want := strings.SplitAfter(text, "\n"), strings.Split(strings.TrimSuffix(before, "\n"), "\n")
	var out strings.Builder
	count := 0
	for i := 0; i < len(lines); i++ {
		matches := i+len(want) <= len(lines)
		for j := 0; matches && j < len(want); j++ {
			matches = strings.TrimSpace(lines[i+j]) == strings.TrimSpace(want[j])
		}
		if !matches {
			out.WriteString(lines[i])
			continue
		}
		out.WriteString(after)
		i += len(want) - 1
		count++
	}
	return out.String(), count
}

// hunt runs the binary and returns the violation that it found, empty if none.
func hunt(t *testing.T, binary string, flags []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"-to", mutantSeeds}, flags...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return strings.TrimSpace(string(out))
	}
	t.Fatalf("%v\n%s", err, out)
	return ""
}
