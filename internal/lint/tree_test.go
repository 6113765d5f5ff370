package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/primebft/prime"

// source is one Go file of the project.
type source struct {
	path string // relative to the root, with slashes
	dir  string // of path
	text []byte
	file *ast.File
	fset *token.FileSet
}

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// imports are the file's imports, those of the project without the module's name ("" is the root package).
func (s source) imports() (project, others []string) {
	for _, i := range s.file.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if rest, ok := strings.CutPrefix(path, module); ok {
			project = append(project, strings.TrimPrefix(rest, "/"))
		} else {
			others = append(others, path)
		}
	}
	return project, others
}

func (s source) line(p token.Pos) int { return s.fset.Position(p).Line }

// tree reads every Go file of the project.
func tree(t *testing.T) []source {
	t.Helper()
	var all []source
	for path, text := range files(t, ".go") {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{path: path, dir: filepath.ToSlash(filepath.Dir(path)), text: text, file: file, fset: fset})
	}
	if len(all) < 20 {
		t.Fatalf("only %d Go files found: is this the project?", len(all))
	}
	return all
}

// files reads every file of the project with one of the given endings, by path relative to the root.
func files(t *testing.T, endings ...string) map[string][]byte {
	t.Helper()
	root := filepath.Join("..", "..")
	found := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (name == ".git" || name == "node_modules" || name == "dist" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		for _, ending := range endings {
			if strings.HasSuffix(rel, ending) {
				text, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				found[rel] = text
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
