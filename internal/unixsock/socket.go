package unixsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// Listener accepts connections of the folder's owner.
type Listener struct {
	place   place
	inner   *net.UnixListener
	uid     uint32 // who may connect, besides root
	refused atomic.Uint64
}

// Check finds what would make Listen fail in a folder whose lock nobody else holds. It changes nothing.
func Check(folder, name string) error {
	p, err := locate(folder, name)
	if err != nil {
		return err
	}
	if p.indirect() {
		if err := checkDir(filepath.Dir(p.bind), p.uid); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	info, err := os.Lstat(p.link)
	if err == nil && info.Mode().Type() != fs.ModeSocket && info.Mode().Type() != fs.ModeSymlink {
		return inTheWay(p.link)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func inTheWay(path string) error {
	return fmt.Errorf("%s is in the way: it is neither a socket nor a link; move it elsewhere", path)
}

// Listen serves the socket of this name in folder. A file that a dead process left is replaced; a socket that somebody serves
// is refused. The caller holds the folder's lock, so that no two processes do this at once.
func Listen(folder, name string) (*Listener, error) {
	p, err := locate(folder, name)
	if err != nil {
		return nil, err
	}
	if p.indirect() {
		if err := os.Mkdir(filepath.Dir(p.bind), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := checkDir(filepath.Dir(p.bind), p.uid); err != nil {
			return nil, err
		}
	}
	for _, path := range []string{p.link, p.bind} {
		if err := clearStale(path); err != nil {
			return nil, err
		}
	}
	inner, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.bind, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l := &Listener{place: p, inner: inner, uid: uint32(os.Geteuid())}
	// Until the mode is set, others may connect: Accept asks the kernel who they are.
	if err := os.Chmod(p.bind, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if p.indirect() {
		if err := os.Symlink(p.bind, p.link); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// clearStale removes what a dead process left at path. It removes sockets and links and nothing else.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	socket := path
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		if socket, err = os.Readlink(path); err != nil {
			return err
		}
	case fs.ModeSocket:
	default:
		return inTheWay(path)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("another process serves %s: stop it first", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be replaced: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Accept waits for the next connection of the owner or root. Others are closed and counted.
func (l *Listener) Accept() (*net.UnixConn, error) {
	for {
		conn, err := l.inner.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(conn)
		if err == nil && trusted(uid, l.uid) {
			return conn, nil
		}
		l.refused.Add(1)
		_ = conn.Close()
	}
}

// Refused is how many connections of other users were closed.
func (l *Listener) Refused() uint64 { return l.refused.Load() }

// Path is where the socket is, for people.
func (l *Listener) Path() string { return l.place.link }

// Close stops accepting and removes the socket.
func (l *Listener) Close() error {
	if l.place.indirect() {
		if target, err := os.Readlink(l.place.link); err == nil && target == l.place.bind {
			_ = os.Remove(l.place.link)
		}
	}
	return l.inner.Close() // removes the socket, too
}

// Dial connects to the socket of this name in folder. ErrNotRunning means that nobody serves it. Whoever answers is the
// folder's owner or root.
func Dial(ctx context.Context, folder, name string) (*net.UnixConn, error) {
	p, err := locate(folder, name)
	if err != nil {
		return nil, err
	}
	path, err := p.follow()
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil, ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("only the owner of %s may use its socket (user %d): %w", folder, p.uid, fs.ErrPermission)
	case err != nil:
		return nil, err
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("%s is not a Unix socket", path)
	}
	uid, err := peerUID(conn)
	if err == nil && !trusted(uid, p.uid) && uid != uint32(os.Geteuid()) {
		err = fmt.Errorf("user %d serves %s, which belongs to user %d: not trusted", uid, path, p.uid)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
