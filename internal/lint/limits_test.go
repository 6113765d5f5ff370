package lint

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notLimits are settings in the groups of limits that nobody can fill.
var notLimits = []string{"limits.recon"}

// limitGroups are the settings that limit something, or groups of them.
var limitGroups = []string{"limits.", "queues.", "network.budget_bytes", "network.handshake", "network.client_", "crypto.cache",
	"storage.max_bytes"}

// TestLimitsDocument: every setting, constant and test in the table of limits exists, and every setting that is a limit is in it.
// That everything in the core which can grow is in it, package sim tests.
func TestLimitsDocument(t *testing.T) {
	t.Parallel()
	pages := files(t, "operations.md", "configuration.md")
	settings := names(`(?m)^\| `+"`([a-z_]+\\.[a-z_]+)`", string(pages["docs/configuration.md"]))
	constants, tests := declared(t)
	quoted := regexp.MustCompile("`([^`]+)`")
	seen := map[string]bool{}
	rows := 0
	for _, row := range limitRows(t, string(pages["docs/operations.md"])) {
		if strings.HasPrefix(row[0], "**") {
			continue
		}
		rows++
		if row[1] == "" || row[2] == "" || row[3] == "" {
			t.Errorf("%s: somebody makes it grow, to a limit, and something happens there", row[0])
		}
		for _, name := range quoted.FindAllStringSubmatch(row[2], -1) {
			seen[name[1]] = true
			if !slices.Contains(settings, name[1]) && !constants[name[1]] {
				t.Errorf("%s: %s is neither a setting nor a constant", row[0], name[1])
			}
		}
		by := quoted.FindAllStringSubmatch(row[4], -1)
		for _, name := range by {
			if !tests[name[1]] {
				t.Errorf("%s: there is no %s", row[0], name[1])
			}
		}
		if len(by) == 0 {
			t.Errorf("%s: no test asserts it", row[0])
		}
	}
	if rows < 50 {
		t.Errorf("only %d limits are found: is this the table?", rows)
	}
	for _, s := range settings {
		limits := slices.ContainsFunc(limitGroups, func(group string) bool { return strings.HasPrefix(s, group) })
		if limits && !seen[s] && !slices.Contains(notLimits, s) {
			t.Errorf("%s limits something, and is not in the table", s)
		}
	}
}

// names are the first groups of all matches.
func names(pattern, text string) (list []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// limitRows are the cells of the table under the heading "Limits".
func limitRows(t *testing.T, page string) (rows [][]string) {
	t.Helper()
	_, section, ok := strings.Cut(page, "\n## Limits\n")
	if !ok {
		t.Fatal("docs/operations.md has no section on limits")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, line := range strings.Split(section, "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what ") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if !strings.HasPrefix(cells[0], "**") && len(cells) != 5 {
			t.Errorf("%s: %d cells", line, len(cells))
			continue
		}
		rows = append(rows, cells)
	}
	return rows
}

// declared are the constants of the project, as package.Name, and its tests.
func declared(t *testing.T) (constants, tests map[string]bool) {
	t.Helper()
	constants, tests = map[string]bool{}, map[string]bool{}
	for _, s := range tree(t) {
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if s.test() && d.Recv == nil {
					tests[d.Name.Name] = true
				}
			case *ast.GenDecl:
				if d.Tok != token.CONST {
					continue
				}
				for _, spec := range d.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						constants[s.file.Name.Name+"."+name.Name] = true
					}
				}
			}
		}
	}
	return constants, tests
}
