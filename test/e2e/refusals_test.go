package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func command(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(binaries, "prime"), args...)
}

// keyFile finds the one file with key in its name.
func keyFile(t *testing.T, folder string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, "*key*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	return found[0]
}

// TestStartsThatAreRefused: one clear line, the right code, and a folder that starts once the fault is gone.
func TestStartsThatAreRefused(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"))
	run := []string{"run", "--dir", c.folder(1)}
	refuse(t, 2, []string{"run", "--dir", filepath.Join(c.dir, "r9")}, "r9")
	refuse(t, 2, []string{"submit", "--dir", filepath.Join(c.dir, "r9"), "x"}, "r9")

	key := keyFile(t, c.folder(1))
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	refuse(t, 2, run, filepath.Base(key), "chmod")
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}

	mine, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(keyFile(t, c.folder(2)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, other, 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(t, 2, run, "key")
	if err := os.WriteFile(key, mine, 0o600); err != nil {
		t.Fatal(err)
	}

	for port := c.base; port < c.base+2; port++ { // for peers, and for clients
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		refuse(t, 1, run, fmt.Sprint(port), "listen_")
		_ = l.Close()
	}

	control := filepath.Join(c.folder(1), "control.sock")
	if err := os.WriteFile(control, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refuse(t, 1, run, "control.sock", "in the way")
	if err := os.Remove(control); err != nil {
		t.Fatal(err)
	}

	c.start(1, 2, 3) // none of this has used the folder up
	must(t, "submit", "--dir", c.folder(1), "x")
}

// TestApplicationSocket runs the example application as a process: it is killed and comes back, a second one is refused, and
// the replica ends with and without it.
func TestApplicationSocket(t *testing.T) {
	c := newCluster(t, filepath.Join(t.TempDir(), "c"))
	for i := 1; i <= 2; i++ {
		toml := filepath.Join(c.folder(i), "node.toml")
		text, err := os.ReadFile(toml)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), `#kind = "echo"`, `kind = "socket"`, 1)
		if changed == string(text) {
			t.Fatalf("no application to replace in\n%s", text)
		}
		if err := os.WriteFile(toml, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.start(1, 2, 3, 4)
	socket, state := filepath.Join(c.folder(1), "app.sock"), filepath.Join(c.dir, "words.json")
	application := spawn(t, "app-socket", socket, state)
	count := func(want string) {
		t.Helper()
		if out := must(t, "submit", "--dir", c.folder(1), "--json", "word"); !strings.Contains(out, `"result":"`+want+`"`) {
			t.Fatalf("%s, want the result %s", out, want)
		}
	}
	count("MQ==") // 1 in base64
	count("Mg==")
	second := spawn(t, "app-socket", socket, state+"2")
	if code := second.exit(); code != 1 || !strings.Contains(second.said(), "another process") {
		t.Errorf("a second application: exit %d: %s", code, second.said())
	}
	count("Mw==")
	application.signal(syscall.SIGKILL)
	application.exit()
	must(t, "submit", "--dir", c.folder(3), "without it, the others go on")
	application = spawn(t, "app-socket", socket, state)
	count("NA==")
	for i := 1; i <= 2; i++ { // the application of r2 never came
		c.run[i].signal(syscall.SIGTERM)
		if code := c.run[i].exit(); code != 0 {
			t.Errorf("r%d: exit %d\n%s", i, code, c.run[i].said())
		}
	}
	if code := application.exit(); code != 0 {
		t.Errorf("the application, when its replica stopped: exit %d: %s", code, application.said())
	}
}
