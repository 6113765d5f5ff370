//go:build !linux

package cluster

import "syscall"

// attributes put a replica into a process group of its own, so that the terminal's interrupt reaches only us, who then stop it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
