// Package unixsock puts a Unix socket into a replica's folder, in such a way that only the folder's owner can use it.
//
// A socket's path may only be about a hundred bytes long (108 on Linux, 104 on Darwin). When the folder's path is longer, the
// socket itself is made in a directory of the owner's alone below the system's directory of temporary files, and the place
// in the folder is a symbolic link to it. Whoever dials names the folder in either case.
//
// Permissions are 0600, and both sides also ask the kernel who is at the other end: a connection from anybody but the owner
// or root is closed, and a client does not speak to a socket that somebody else serves.
package unixsock

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// MaxPath is the longest path, in bytes, that this system takes for a socket.
const MaxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// ErrNotRunning means that nobody serves the socket.
var ErrNotRunning = errors.New("nobody serves the socket")

// place is where a socket is.
type place struct {
	link string // where people look for it: in the folder
	bind string // where it is; the same as link unless that is too long
	uid  uint32 // whom the folder belongs to
}

// indirect reports whether the place in the folder is a link to the socket.
func (p place) indirect() bool { return p.link != p.bind }

// locate finds out where the socket of this name belongs. The answer depends only on the folder, however it was spelled.
func locate(folder, name string) (place, error) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return place{}, err
	}
	abs, err = filepath.EvalSymlinks(abs)
	if err != nil {
		return place{}, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return place{}, err
	}
	if !info.IsDir() {
		return place{}, fmt.Errorf("%s is not a folder", abs)
	}
	p := place{link: filepath.Join(abs, name), uid: owner(info)}
	p.bind = p.link
	if len(p.link) > MaxPath {
		sum := sha256.Sum256([]byte(p.link))
		p.bind = filepath.Join(shortDir(p.uid), hex.EncodeToString(sum[:12])+".sock")
	}
	return p, nil
}

// shortDir is the directory that holds the sockets whose own folders have too long a path.
func shortDir(uid uint32) string {
	name := "prime-" + strconv.FormatUint(uint64(uid), 10)
	dir := filepath.Join(os.TempDir(), name)
	if len(dir)+len("/000000000000000000000000.sock") > MaxPath {
		dir = filepath.Join("/tmp", name)
	}
	return dir
}

// checkDir makes sure that dir is a directory which only uid (or root) can enter. Others can create names below the directory of
// temporary files, so what is found there is not believed.
func checkDir(dir string, uid uint32) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !trusted(owner(info), uid) {
		return fmt.Errorf("%s must be a directory with mode 0700 that belongs to user %d: remove it, or use a folder with a shorter path",
			dir, uid)
	}
	return nil
}

// follow is where to dial: the socket in the folder, or what the link there points to, if that is in a directory that only
// the owner can enter.
func (p place) follow() (string, error) {
	info, err := os.Lstat(p.link)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotRunning
	}
	if err != nil {
		return "", err
	}
	if info.Mode().Type() != fs.ModeSymlink {
		if p.indirect() {
			return "", fmt.Errorf("the path %s is too long for a socket", p.link)
		}
		return p.link, nil
	}
	target, err := os.Readlink(p.link)
	if err != nil {
		return "", err
	}
	err = checkDir(filepath.Dir(target), p.uid)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotRunning
	}
	return target, err
}

// owner is the user that a file belongs to.
func owner(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return uint32(os.Getuid())
}

// trusted reports whether user may act for uid: it is that user, or root, who could anyway.
func trusted(user, uid uint32) bool { return user == uid || user == 0 }
