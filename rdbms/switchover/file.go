package switchover

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// watchEvery is how often File.Watch looks.
const watchEvery = time.Second

// File is a [Store] and [Watcher] on a file of this host, shared by all its processes; or on a file that other
// means distribute (configuration management, a mounted volume) and replace atomically, which is read-only here.
//
// The revision is the SHA-256 of the content. Writers, in any number of processes, take turns by a lock (flock)
// on <path>.lock and replace the file atomically and durably: a reader sees the old document or the new one, and
// so does a host that lost its power. A process that is killed while it writes leaves <path>.tmp behind, which
// the next one overwrites. A network file system that does not have these properties is not enough.
//
// A path that is a symbolic link belongs to whoever sets the link: CompareAndSwap answers ErrUnsupported there,
// where the right to write is missing, and on operating systems without flock.
type File struct{ path string }

// NewFile returns the store on the file at path; the file need not exist yet, its directory must.
func NewFile(path string) *File { return &File{path: path} }

// Load is Store's.
func (f *File) Load(ctx context.Context) (raw []byte, rev string, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, "", err
	}
	return f.read()
}

// CompareAndSwap is Store's.
func (f *File) CompareAndSwap(ctx context.Context, raw []byte, rev string) (newRev string, err error) {
	if info, err := os.Lstat(f.path); err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: %s is not a regular file: change it where it comes from", ErrUnsupported, f.path)
	}
	unlock, err := lockFile(ctx, f.path+".lock")
	if err != nil {
		return "", readOnly(err)
	}
	defer unlock()
	switch _, current, err := f.read(); {
	case err != nil && !errors.Is(err, ErrNotFound):
		return "", err
	case current != rev:
		return "", ErrConflict
	}
	if err := f.replace(ctx, raw); err != nil {
		return "", readOnly(err)
	}
	return revisionOf(raw), nil
}

// Watch is Watcher's. It looks at the file once a second, at the content itself: times of files are too coarse
// to show each change, and tools set them back. It starts a goroutine, which ends with ctx.
func (f *File) Watch(ctx context.Context, rev string) (<-chan struct{}, error) {
	hints := make(chan struct{}, 1)
	go func() {
		defer close(hints)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			_, seen, err := f.read()
			if err != nil && !errors.Is(err, ErrNotFound) {
				return // lost: the next Load says why
			}
			if seen != rev {
				rev = seen
				hint(hints)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return hints, nil
}

func (f *File) read() (raw []byte, rev string, err error) {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", ErrNotFound
	}
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	// One byte more than a document may have, so that a larger one is seen as such.
	raw, err = io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return nil, "", err
	}
	return raw, revisionOf(raw), nil
}

// replace puts raw in the file's place; the lock is held. Its last two steps cannot be taken back: an error in
// the very last one leaves a new document that a loss of power could undo.
func (f *File) replace(ctx context.Context, raw []byte) error {
	temp := f.path + ".tmp"
	if err := f.writeTemp(temp, raw); err != nil {
		_ = os.Remove(temp)
		return err
	}
	if err := context.Cause(ctx); err != nil {
		_ = os.Remove(temp)
		return fmt.Errorf("%w, nothing was written", err)
	}
	if err := os.Rename(temp, f.path); err != nil {
		_ = os.Remove(temp)
		return err
	}
	if err := syncDir(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("%w: replaced, but perhaps not for good: %w", ErrUnknownOutcome, err)
	}
	return nil
}

// writeTemp writes and syncs a file with the rights of the one that it will replace.
func (f *File) writeTemp(temp string, raw []byte) (err error) {
	var mode fs.FileMode = 0o644 // other users' processes read the state; it holds no secret
	if info, err := os.Stat(f.path); err == nil {
		mode = info.Mode().Perm()
	}
	file, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Chmod(mode); err != nil { // past the umask, and what a killed writer left
		return err
	}
	if _, err := file.Write(raw); err != nil {
		return err
	}
	return file.Sync()
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readOnly marks the errors that say that this process may not write here at all.
func readOnly(err error) error {
	if !errors.Is(err, ErrUnknownOutcome) && (errors.Is(err, fs.ErrPermission) || isReadOnlyFS(err)) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

func revisionOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
