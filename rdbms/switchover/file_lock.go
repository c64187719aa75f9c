//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package switchover

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/multidc/multidc/internal/backoff"
)

// lockFile takes the exclusive lock on a file, which is created and never removed: a lock on a removed file
// locks nobody out.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	// Not the blocking form: it would keep the caller past the end of its context.
	wait := backoff.Policy{First: time.Millisecond, Max: 50 * time.Millisecond, Spread: 0.5}
	for failures := 1; ; failures++ {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil // closing unlocks
		}
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			err = wait.Sleep(ctx, failures)
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
}

func isReadOnlyFS(err error) bool { return errors.Is(err, syscall.EROFS) }
