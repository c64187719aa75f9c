//go:build unix && !linux

package proc

import (
	"os/exec"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd returns when a child has ended, already reaped.
func awaitEnd(cmd *exec.Cmd) func() error {
	err := cmd.Wait()
	return func() error { return err }
}

// stopped believes the signal: it cannot look.
func stopped(int) bool { return true }
