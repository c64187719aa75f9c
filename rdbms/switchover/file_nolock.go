//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package switchover

import (
	"context"
	"fmt"
	"runtime"
)

func lockFile(context.Context, string) (unlock func(), err error) {
	return nil, fmt.Errorf("%w: there is no flock on %s", ErrUnsupported, runtime.GOOS)
}

func isReadOnlyFS(error) bool { return false }
