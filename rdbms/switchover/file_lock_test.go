//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package switchover_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// Whoever waits for the lock leaves when his context ends, and has written nothing.
func TestFileLockedByAnother(t *testing.T) {
	path, f, rev := stateFile(t)
	lock, err := os.OpenFile(path+".lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := f.CompareAndSwap(ctx, []byte("x"), rev); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, switchover.ErrUnknownOutcome) {
		t.Errorf("locked out: %v", err)
	}
	if _, got, err := f.Load(t.Context()); err != nil || got != rev {
		t.Error("a reader was locked out, or the document changed:", err)
	}
	lock.Close()
	if _, err := f.CompareAndSwap(t.Context(), []byte("x"), rev); err != nil {
		t.Error("after the lock was freed:", err)
	}
}
