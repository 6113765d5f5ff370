package unixsock

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const strangerDir = "PRIME_TEST_STRANGER_DIR"

// TestOtherUserIsRefused lets a process of another user connect, which only root can arrange. The socket is opened to everybody
// by hand, so that nothing but the kernel's word on the peer stands between them.
func TestOtherUserIsRefused(t *testing.T) {
	if dir := os.Getenv(strangerDir); dir != "" { // this is the stranger
		conn, err := Dial(context.Background(), dir, name)
		if err != nil {
			t.Fatalf("could not even connect: %v", err)
		}
		_, err = conn.Read(make([]byte, 1))
		t.Fatalf("stranger saw: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	dir, err := os.MkdirTemp("/tmp", "prime-stranger-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := listen(t, dir)
	for _, path := range []string{dir, filepath.Join(dir, name)} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Errorf("accepted %v", conn)
			_ = conn.Close()
		}
	}()
	exe := filepath.Join(dir, "stranger.test") // where the other user can read it
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command(exe, "-test.run=^TestOtherUserIsRefused$")
	stranger.Dir = dir
	stranger.Env = append(os.Environ(), strangerDir+"="+dir)
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := stranger.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "stranger saw: EOF") && !strings.Contains(string(out), "connection reset") {
		t.Fatalf("%v\n%s", err, out)
	}
	if l.Refused() != 1 {
		t.Fatalf("%d connections refused", l.Refused())
	}
}
