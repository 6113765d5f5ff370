package lint

import (
	"bytes"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSizes: a file that needs more than 500 lines, or a function that needs more than 70, does more than one thing.
func TestSizes(t *testing.T) {
	t.Parallel()
	for _, s := range tree(t) {
		if lines := bytes.Count(s.text, []byte("\n")); lines > 500 {
			t.Errorf("%s has %d lines: at most 500", s.path, lines)
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				if lines := s.line(f.End()) - s.line(f.Pos()) + 1; lines > 70 {
					t.Errorf("%s:%d: %s has %d lines: at most 70", s.path, s.line(f.Pos()), f.Name.Name, lines)
				}
			}
		}
	}
}

// mayImport lists, for the rooms of the house that are restricted, the packages of the project that they may import. A name
// that ends in / stands for everything below it. Test files are free.
var mayImport = map[string][]string{
	"internal/group":           {},
	"internal/clock":           {},
	"internal/invariant":       {},
	"app":                      {},
	"internal/wire":            {"internal/group"},
	"internal/trace":           {"internal/wire", "internal/group", "internal/clock"},
	"internal/sign":            {"internal/wire", "internal/group", "config", "threshold", "internal/parts"},
	"internal/parts":           {"internal/wire", "internal/group"},
	"internal/heavy":           {"internal/core/effect", "internal/parts", "internal/wire", "internal/group"},
	"threshold":                {},
	"threshold/bls":            {"threshold"},
	"transport/emulate/wan":    {"internal/wire", "internal/group", "internal/clock", "config"},
	"storage":                  {},
	"storage/memory":           {"storage"},
	"storage/file":             {"storage"},
	"storage/fault":            {"storage/file"},
	"storage/storagetest":      {"storage"},
	"internal/core/window":     {},
	"internal/core/effect":     {"internal/wire", "internal/group", "internal/trace"},
	"internal/core/session":    coreRoom,
	"internal/core/preorder":   coreRoom,
	"internal/core/order":      coreRoom,
	"internal/core/recon":      coreRoom,
	"internal/core/checkpoint": coreRoom,
	"internal/core":            append([]string{"internal/core/"}, coreRoom...),
	"internal/blocks":          {"internal/wire"},
	"internal/snapshot":        {"internal/blocks", "internal/wire", "storage/file"},
	"internal/transfer":        {"internal/blocks", "internal/snapshot", "internal/wire", "internal/group", "internal/clock"},
	"internal/chart":           {},
	"internal/lab":             {"config", "internal/bench", "internal/bench/", "internal/group", "transport/emulate/wan"},
	"internal/attack":          {"internal/core", "internal/core/", "internal/sign", "internal/wire", "internal/group", "internal/clock", "internal/trace"},
}

// coreRoom is what a sub-protocol may import: never another sub-protocol.
var coreRoom = []string{
	"internal/core/effect", "internal/core/window", "internal/wire", "internal/group", "internal/clock", "internal/trace",
	"internal/invariant",
}

// TestImports: the arrows of the house.
func TestImports(t *testing.T) {
	t.Parallel()
	for _, s := range tree(t) {
		if s.test() {
			continue
		}
		project, others := s.imports()
		if draws := slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(o, "gonum.org/") }); draws && s.dir != "internal/chart" {
			t.Errorf("%s draws by itself: package internal/chart does", s.path)
		}
		allowed, restricted := mayImport[s.dir]
		for _, p := range project {
			below := slices.ContainsFunc(allowed, func(a string) bool { return strings.HasSuffix(a, "/") && strings.HasPrefix(p, a) })
			switch {
			case restricted && !below && !slices.Contains(allowed, p):
				t.Errorf("%s imports %s: %s may not", s.path, p, s.dir)
			case p == "internal/attack" && s.dir != "sim" && s.dir != "cmd/prime" && s.dir != "internal/attack":
				t.Errorf("%s imports the attacks: a program that embeds the library must not contain them", s.path)
			case p == "internal/chart" && s.dir != "cmd/prime":
				t.Errorf("%s imports the charts: a program that embeds the library must not contain them", s.path)
			case strings.HasPrefix(s.dir, "sim") && p == "internal/node":
				t.Errorf("%s imports node: the simulator drives the core itself", s.path)
			case (strings.HasPrefix(s.dir, "examples/") || strings.HasPrefix(s.dir, "apps/")) && strings.HasPrefix(p, "internal/"):
				t.Errorf("%s imports %s: examples use only what users can", s.path, p)
			}
		}
	}
}

// TestCoreIsDeterministic: nothing in the core may make two runs of one input differ, or wait for the world.
func TestCoreIsDeterministic(t *testing.T) {
	t.Parallel()
	banned := []string{"sync", "sync/atomic", "os", "net", "log", "log/slog", "math/rand", "crypto/rand", "context", "runtime", "math"}
	clockwork := []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "NewTimer", "NewTicker", "Tick"}
	for _, s := range tree(t) {
		if s.test() || !strings.HasPrefix(s.dir, "internal/core") {
			continue
		}
		_, others := s.imports()
		for _, o := range others {
			if slices.Contains(banned, o) {
				t.Errorf("%s imports %s", s.path, o)
			}
		}
		maps := mapNames(s.file)
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s:%d: starts a goroutine", s.path, s.line(n.Pos()))
			case *ast.ChanType:
				t.Errorf("%s:%d: has a channel", s.path, s.line(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clockwork, n.Sel.Name) {
					t.Errorf("%s:%d: reads a clock: time.%s", s.path, s.line(n.Pos()), n.Sel.Name)
				}
			case *ast.Ident:
				if n.Name == "float64" || n.Name == "float32" {
					t.Errorf("%s:%d: computes with %s", s.path, s.line(n.Pos()), n.Name)
				}
			case *ast.RangeStmt:
				if name := lastName(n.X); maps[name] {
					t.Errorf("%s:%d: ranges over the map %s, whose order is random", s.path, s.line(n.Pos()), name)
				}
			}
			return true
		})
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				if name := spec.(*ast.ValueSpec).Names[0].Name; name != "_" && name != "Tick" {
					t.Errorf("%s:%d: package variable %s: many replicas share a process", s.path, s.line(g.Pos()), name)
				}
			}
		}
	}
}

// mapNames are the fields and variables of a file that are declared as maps.
func mapNames(f *ast.File) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if _, ok := n.Type.(*ast.MapType); ok {
				for _, name := range n.Names {
					names[name.Name] = true
				}
			}
		case *ast.ValueSpec:
			if _, ok := n.Type.(*ast.MapType); ok {
				for _, name := range n.Names {
					names[name.Name] = true
				}
			}
		}
		return true
	})
	return names
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// TestPackages: every package says what it is for, and none is a drawer.
func TestPackages(t *testing.T) {
	t.Parallel()
	described := map[string]bool{}
	for _, s := range tree(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, s.file.Name.Name) {
			t.Errorf("%s: package %s says nothing of what is in it", s.path, s.file.Name.Name)
		}
		if !s.test() {
			described[s.dir] = described[s.dir] || s.file.Doc != nil
		}
	}
	for dir, ok := range described {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

// TestWords: what must not be in the project. The patterns are in pieces so that this file passes.
func TestWords(t *testing.T) {
	t.Parallel()
	sleep := regexp.MustCompile(`time\.` + `Sleep\(`)
	later := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`)
	places := regexp.MustCompile(`(^|[\s"'(=])/(wo` + `rk|ro` + `ot|ho` + `me)/[a-z]`)
	for path, text := range files(t, ".go", ".md", ".txt", ".toml", ".py", ".yml", "Makefile", ".ci/run") {
		for number, line := range bytes.Split(text, []byte("\n")) {
			switch {
			case strings.HasSuffix(path, "_test.go") && sleep.Match(line):
				t.Errorf("%s:%d: sleeps: a test waits on a condition", path, number+1)
			case later.Match(line):
				t.Errorf("%s:%d: leaves work for later: use an issue", path, number+1)
			case places.Match(line):
				t.Errorf("%s:%d: names a place of one machine", path, number+1)
			}
		}
	}
}
