package switchover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/multidc/multidc/rdbms/switchover"
)

// childVar makes the test binary a writer of the file that it names.
const childVar = "MULTIDC_SWITCHOVER_CHILD"

const childUpdates = 1000

// childWrites is the other process: it counts up on the file, and ends.
func childWrites(path string) {
	if err := countUp(context.Background(), switchover.NewFile(path)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func countUp(ctx context.Context, f *switchover.File) error {
	for range childUpdates {
		for {
			raw, rev, err := f.Load(ctx)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(raw))
			if err != nil {
				return err
			}
			_, err = f.CompareAndSwap(ctx, []byte(strconv.Itoa(n+1)), rev)
			if err == nil {
				break
			}
			if !errors.Is(err, switchover.ErrConflict) {
				return err
			}
		}
	}
	return nil
}

func child(ctx context.Context, path string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+path)
	return cmd
}

// Two processes of a thousand updates each make two thousand. SXp
func TestFileFromTwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	f := switchover.NewFile(path)
	if _, err := f.CompareAndSwap(t.Context(), []byte("0"), ""); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			if out, err := child(t.Context(), path).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	writers.Wait()
	if raw, _, err := f.Load(t.Context()); err != nil || string(raw) != strconv.Itoa(2*childUpdates) {
		t.Errorf("counted %q, %v", raw, err)
	}
}

// A writer that is killed leaves a whole document and no lock.
func TestFileSurvivesAKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	f := switchover.NewFile(path)
	rev, err := f.CompareAndSwap(t.Context(), []byte("0"), "")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		cmd := child(t.Context(), path)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for before := rev; rev == before; { // it is at work
			if _, rev, err = f.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		raw, now, err := f.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := strconv.Atoi(string(raw)); err != nil {
			t.Fatalf("half a document: %q", raw)
		}
		if rev, err = f.CompareAndSwap(t.Context(), raw, now); err != nil {
			t.Fatalf("after the kill: %v", err)
		}
	}
}
