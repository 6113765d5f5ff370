package file

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes the content of a file durable.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
