package marker

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var info = Info{Cluster: "c0ffee", Replica: 3, Incarnation: 1, Started: time.Unix(1700000000, 0)}

// TestSecondStart: a folder is started once, and the refusal says what to do.
func TestSecondStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Mark(info); err != nil {
		t.Fatal(err)
	}
	if err := f.Release(); err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	if !errors.Is(err, ErrUsed) {
		t.Fatalf("second start: %v, want ErrUsed", err)
	}
	for _, want := range []string{"prime init", "2023-11-14T22:13:20Z", dir} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	// The refusal must not have kept the lock.
	if _, err = Lock(dir); !errors.Is(err, ErrUsed) {
		t.Fatalf("third start: %v, want ErrUsed", err)
	}
}

// TestMarkerFile: the marker has everything, alone in the folder with the lock.
func TestMarkerFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	if err := f.Mark(info); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, MarkerFile))
	if err != nil {
		t.Fatal(err)
	}
	var got Info
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := info
	want.Format = Format
	if !got.Started.Equal(want.Started) {
		t.Errorf("started %v, want %v", got.Started, want.Started)
	}
	got.Started = want.Started
	if got != want {
		t.Errorf("marker %+v, want %+v", got, want)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("folder has %v, want only marker and lock", entries)
	}
}

// TestBrokenMarker: a marker that cannot be understood still means that a replica has run.
func TestBrokenMarker(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{", "null", `{"started":"yesterday"}`, "\x00\xff"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, MarkerFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Lock(dir); !errors.Is(err, ErrUsed) {
			t.Errorf("marker %q: %v, want ErrUsed", content, err)
		}
	}
}

// TestOtherFormat: a marker of an older or newer version of Prime is refused by its format, in either mode: what it says of the replica's
// memory may mean something else there.
func TestOtherFormat(t *testing.T) {
	t.Parallel()
	for _, format := range []int{0, Format + 1, 1 << 30, -1} {
		dir := t.TempDir()
		other := info
		other.Format, other.Durable = format, true
		b, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, MarkerFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		for mode, lock := range map[string]func(string) (*Folder, error){"ephemeral": Lock, "durable": LockDurable} {
			_, err := lock(dir)
			if !errors.Is(err, ErrUsed) {
				t.Fatalf("format %d, %s: %v, want ErrUsed", format, mode, err)
			}
			for _, want := range []string{"of format " + strconv.Itoa(format) + ",", "format " + strconv.Itoa(Format) + ".", dir} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("format %d, %s: %q does not say %q", format, mode, err, want)
				}
			}
		}
		after, err := os.ReadFile(filepath.Join(dir, MarkerFile))
		if err != nil || string(after) != string(b) {
			t.Errorf("format %d: the marker is %q afterwards, %v", format, after, err)
		}
	}
}

// TestInUseHere: two replicas of one process cannot share a folder, and a start that never signed leaves it usable.
func TestInUseHere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Fatalf("%v, want ErrInUse with the process", err)
	}
	if err := f.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(dir)
	if err != nil {
		t.Fatalf("after a start that signed nothing: %v", err)
	}
	again.Release()
}

// TestInUseElsewhere: a process holds the folder until it ends, even if it is killed.
func TestInUseElsewhere(t *testing.T) {
	if dir := os.Getenv("PRIME_MARKER_HOLD"); dir != "" {
		holdUntilKilled(dir)
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestInUseElsewhere$")
	child.Env = append(os.Environ(), "PRIME_MARKER_HOLD="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := child.StdinPipe() // ends with this process, and so does the child
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := out.Read(b); err != nil || b[0] != '!' {
		t.Fatalf("child said %q, %v", b, err)
	}
	_, err = Lock(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "process "+strconv.Itoa(child.Process.Pid)) {
		t.Errorf("%v, want ErrInUse with process %d", err, child.Process.Pid)
	}
	child.Process.Kill()
	child.Wait()
	f, err := Lock(dir)
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	f.Release()
}

// holdUntilKilled is the child of TestInUseElsewhere.
func holdUntilKilled(dir string) {
	if _, err := Lock(dir); err != nil {
		os.Exit(1)
	}
	os.Stdout.WriteString("!")
	os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// TestNoFolder: the error names the folder.
func TestNoFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "nowhere")
	if _, err := Lock(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v, want an error that names %s", err, dir)
	}
}
