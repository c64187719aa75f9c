package switchover_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// stateFile is a file with a document, and the store on it.
func stateFile(t *testing.T) (path string, f *switchover.File, rev string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state.json")
	f = switchover.NewFile(path)
	rev, err := f.CompareAndSwap(t.Context(), []byte(document), "")
	if err != nil {
		t.Fatal(err)
	}
	return path, f, rev
}

func TestFileKeepsItsRights(t *testing.T) {
	path, f, rev := stateFile(t)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("a new file: %v, %v; other users' processes read the state", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte("left by a killed writer, and longer than what comes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.CompareAndSwap(t.Context(), []byte("x"), rev); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("replaced: %v, %v", info.Mode(), err)
	}
	if raw, _, err := f.Load(t.Context()); string(raw) != "x" {
		t.Errorf("holds %q, %v", raw, err)
	}
	if _, err := os.Stat(path + ".tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the temporary file is still there:", err)
	}
}

func TestFileThatIsNotOurs(t *testing.T) {
	path, f, rev := stateFile(t)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	l := switchover.NewFile(link)
	if raw, got, err := l.Load(t.Context()); err != nil || got != rev || string(raw) != document {
		t.Errorf("through a link: %q, %v", raw, err)
	}
	if _, err := l.CompareAndSwap(t.Context(), []byte("x"), rev); !errors.Is(err, switchover.ErrUnsupported) {
		t.Errorf("a link was replaced: %v", err)
	}
	if _, got, err := f.Load(t.Context()); err != nil || got != rev {
		t.Error("the file behind the link changed:", err)
	}
	folder := switchover.NewFile(t.TempDir())
	if _, _, err := folder.Load(t.Context()); err == nil || errors.Is(err, switchover.ErrNotFound) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := switchover.NewFile(path+"/x").CompareAndSwap(t.Context(), nil, ""); err == nil || errors.Is(err, switchover.ErrConflict) {
		t.Errorf("below a file: %v", err)
	}
}

func TestFileThatIsTooLarge(t *testing.T) {
	path, f, _ := stateFile(t)
	if err := os.Truncate(path, 1<<30); err != nil {
		t.Fatal(err)
	}
	s := newState(t, f, nil)
	if err := s.Refresh(t.Context()); !errors.Is(err, switchover.ErrInvalid) {
		t.Errorf("a file of 1 GiB: %v", err)
	}
}

// Times and sizes may stay as they were; a new time alone is no change.
func TestFileWatchLooksAtTheContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, f, rev := stateFile(t)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		hints, err := f.Watch(ctx, rev)
		if err != nil {
			t.Fatal(err)
		}
		hinted := func() bool {
			time.Sleep(time.Second)
			synctest.Wait()
			select {
			case <-hints:
				return true
			default:
				return false
			}
		}
		if hinted() {
			t.Error("a hint though nothing changed")
		}
		if err := os.WriteFile(path, []byte(moved), 0o600); err != nil || len(moved) != len(document) {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if !hinted() {
			t.Error("no hint within a second, of a change that kept size and time")
		}
		if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if hinted() {
			t.Error("a hint at a new time alone")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if !hinted() {
			t.Error("no hint when the file vanished")
		}
		cancel()
		for range hints {
			t.Error("a hint after the end")
		}
	})
}

// The whole of it: an operator's process changes the file, the application follows within about a second.
func TestFileStateFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, f, _ := stateFile(t)
		s := newState(t, f, nil)
		refresh(t, s)
		run(t, s)
		synctest.Wait()
		update(t, newState(t, switchover.NewFile(path), nil), func(d *switchover.Doc) { d.Primary = "b" })
		time.Sleep(time.Second)
		synctest.Wait()
		if got := ask(s); got != (probe{"b", nil, ""}) {
			t.Errorf("a second later: %+v", got)
		}
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if got := ask(s); got != (probe{"b", nil, ""}) {
			t.Errorf("with a corrupt file: %+v", got)
		}
		time.Sleep(20 * time.Second)
		if got := ask(s); got.primary != "b" || !errors.Is(got.err, switchover.ErrStale) {
			t.Errorf("with a corrupt file for 40 s: %+v", got)
		}
	})
}
