package unixsock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const name = "control.sock"

// exchange sends a byte from a client to an accepted connection, which proves that they are each other's ends.
func exchange(t *testing.T, l *Listener, dial string) {
	t.Helper()
	accepted := make(chan *net.UnixConn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	client, err := Dial(context.Background(), dial, name)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server := <-accepted
	defer server.Close()
	if _, err := client.Write([]byte{7}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := io.ReadFull(server, b); err != nil || b[0] != 7 {
		t.Fatalf("got %v, %v", b, err)
	}
}

// refuseSecond shows that a second process cannot serve the socket, and takes the connection by which it found out.
func refuseSecond(t *testing.T, l *Listener, dir string) {
	t.Helper()
	if _, err := Listen(dir, name); err == nil || !strings.Contains(err.Error(), "another process serves") {
		t.Fatalf("a live socket was not refused: %v", err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func deep(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func listen(t *testing.T, dir string) *Listener {
	t.Helper()
	l, err := Listen(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestSocketInFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := Dial(context.Background(), dir, name); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("before anybody serves: %v", err)
	}
	if err := Check(dir, name); err != nil {
		t.Fatal(err)
	}
	l := listen(t, dir)
	info, err := os.Lstat(filepath.Join(dir, name))
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode()&os.ModeSocket == 0 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	exchange(t, l, dir)
	refuseSecond(t, l, dir)
	exchange(t, l, dir)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, name)); !os.IsNotExist(err) {
		t.Fatalf("Close left the socket: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as a process that was killed leaves it
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(context.Background(), dir, name); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("a dead socket: %v", err)
	}
	exchange(t, listen(t, dir), dir)
}

func TestFileInTheWay(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(dir, name); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Fatalf("got %v", err)
	}
	if err := Check(dir, name); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Fatalf("Check: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Fatalf("the file is now %q, %v", b, err)
	}
}

func TestLongPathFallsBack(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir := deep(t)
	l := listen(t, dir)
	if !l.place.indirect() || len(l.place.bind) > MaxPath {
		t.Fatalf("socket at %s", l.place.bind)
	}
	exchange(t, l, dir)
	refuseSecond(t, l, dir)
	t.Run("client elsewhere", func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir()) // a client with another environment, and by another name of the folder
		t.Chdir(filepath.Dir(dir))
		exchange(t, l, filepath.Base(dir))
	})
	bind := l.place.bind
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{bind, filepath.Join(dir, name)} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Fatalf("Close left %s: %v", path, err)
		}
	}
}

func TestStaleLinkIsReplaced(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir := deep(t)
	l := listen(t, dir)
	l.inner.SetUnlinkOnClose(false)
	if err := l.inner.Close(); err != nil { // killed: the link and the socket stay
		t.Fatal(err)
	}
	if _, err := Dial(context.Background(), dir, name); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("a dead socket behind a link: %v", err)
	}
	exchange(t, listen(t, dir), dir)
}

func TestStrangersDirectoryIsNotBelieved(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	dir := deep(t)
	open := shortDir(uint32(os.Geteuid()))
	if filepath.Dir(open) != temp {
		t.Skip("the directory of temporary files is itself too deep")
	}
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Check(dir, name); err == nil || !strings.Contains(err.Error(), "mode 0700") {
		t.Fatalf("checking below a directory that others may write: %v", err)
	}
	if _, err := Listen(dir, name); err == nil || !strings.Contains(err.Error(), "mode 0700") {
		t.Fatalf("listening below a directory that others may write: %v", err)
	}
	if err := os.Symlink(filepath.Join(open, "x.sock"), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(context.Background(), dir, name); err == nil || !strings.Contains(err.Error(), "mode 0700") {
		t.Fatalf("dialling below a directory that others may write: %v", err)
	}
}

func TestTrust(t *testing.T) {
	for _, c := range []struct {
		user, uid uint32
		want      bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {1000, 0, false}} {
		if got := trusted(c.user, c.uid); got != c.want {
			t.Errorf("trusted(%d, %d) = %v", c.user, c.uid, got)
		}
	}
}

// TestStrangerIsRefused pretends that the socket belongs to another user, so that this process is the stranger.
func TestStrangerIsRefused(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root is nobody's stranger; TestOtherUserIsRefused runs instead")
	}
	dir := t.TempDir()
	l := listen(t, dir)
	l.uid++
	go func() { _, _ = l.Accept() }()
	client, err := Dial(context.Background(), dir, name)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || l.Refused() != 1 {
		t.Fatalf("a stranger got %v; %d refused", err, l.Refused())
	}
}
