package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"unsafe"
)

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

const (
	waitPID      = 1          // P_PID
	waitExited   = 4          // WEXITED
	waitNoReap   = 0x01000000 // WNOWAIT
	sizeOfStatus = 128        // siginfo_t
)

// awaitEnd returns when a child has ended, and a function that reaps it.
func awaitEnd(cmd *exec.Cmd) func() error {
	var info [sizeOfStatus]byte
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, waitPID, uintptr(cmd.Process.Pid),
			uintptr(unsafe.Pointer(&info)), waitExited|waitNoReap, 0, 0) //nolint:gosec // the kernel fills it within the call
		if !errors.Is(errno, syscall.EINTR) {
			return cmd.Wait
		}
	}
}

// stopped reports whether every thread of a process is stopped.
func stopped(pid int) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		// The name in parentheses may hold anything: the state is what follows the last one.
		at := bytes.LastIndexByte(stat, ')')
		if at < 0 || at+2 >= len(stat) || stat[at+2] != 'T' {
			return false
		}
	}
	return true
}
