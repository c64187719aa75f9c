package guard

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// sweepLimit ends the sweep when a process cannot be killed, for example one in an uninterruptible wait.
const sweepLimit = 10 * time.Second

// sweep kills every process marked with the directory, again and again until there is none: one may fork while it
// is being looked for.
func sweep(dir string) {
	for end := time.Now().Add(sweepLimit); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		pids := Marked(dir)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// Marked returns the processes that carry a bed's mark, zombies and this process apart.
func Marked(dir string) []int {
	mark := []byte(Marker + "=" + dir)
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	var pids []int
	for _, file := range files {
		env, err := os.ReadFile(file) // empty for a zombie
		if err != nil || !marked(env, mark) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func marked(env, mark []byte) bool {
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if bytes.Equal(v, mark) {
			return true
		}
	}
	return false
}
