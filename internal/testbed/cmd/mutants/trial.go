package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The verdicts on a mutant.
const (
	killed   = "killed"
	survives = "SURVIVES"
)

// testTimeout ends a test that a mutant made hang; that counts as a kill.
const testTimeout = "3m"

// trial runs mutants, and remembers which tests are green without any.
type trial struct {
	healthy map[string]error // by folder and test
}

func newTrial() *trial { return &trial{healthy: map[string]error{}} }

// judge tells whether the mutant's test kills it.
func (t *trial) judge(ctx context.Context, m mutant) (verdict string, err error) {
	if err := t.checkHealthy(ctx, m); err != nil {
		return "", err
	}
	aside, err := os.MkdirTemp("", "multidc-mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	overlay, err := writeOverlay(aside, m)
	if err != nil {
		return "", err
	}
	out, err := goTest(ctx, m, "-overlay", overlay)
	switch failed := (*exec.ExitError)(nil); {
	case err == nil:
		return survives, nil
	case !errors.As(err, &failed):
		return "", err
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return "", fmt.Errorf("it does not compile:\n%s", tail(out))
	default:
		return killed, nil
	}
}

// checkHealthy runs the mutant's test on the code as it is, once per test: it must exist and pass.
func (t *trial) checkHealthy(ctx context.Context, m mutant) error {
	key := m.folder + " " + m.test
	err, known := t.healthy[key]
	if known {
		return err
	}
	out, err := goTest(ctx, m)
	switch {
	case err != nil:
		err = fmt.Errorf("%s fails without the mutant: %w\n%s", m.test, err, tail(out))
	case strings.Contains(out, "[no tests to run]") || strings.Contains(out, "[no test files]"):
		err = fmt.Errorf("there is no test %s in %s", m.test, m.folder)
	case strings.Contains(out, "--- SKIP"):
		err = fmt.Errorf("%s was skipped, so it guards nothing here:\n%s", m.test, tail(out))
	}
	t.healthy[key] = err
	return err
}

func goTest(ctx context.Context, m mutant, flags ...string) (string, error) {
	args := append([]string{"test", "-v", "-count=1", "-timeout", testTimeout, "-run", "^(" + m.test + ")$"}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = m.folder
	// An interrupt must end the test binary too, not only the go command.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// writeOverlay writes the mutated file aside, and the description by which the go command sees it in place.
func writeOverlay(aside string, m mutant) (string, error) {
	original, err := filepath.Abs(filepath.Join(m.folder, m.file))
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	mutated, err := m.apply(string(text))
	if err != nil {
		return "", err
	}
	replacement := filepath.Join(aside, m.file)
	description, err := json.Marshal(map[string]any{"Replace": map[string]string{original: replacement}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(aside, "overlay.json")
	return overlay, errors.Join(
		os.WriteFile(replacement, []byte(mutated), 0o600),
		os.WriteFile(overlay, description, 0o600),
	)
}

// tail is the end of an output, where its reason stands.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return "\t" + strings.Join(lines[max(0, len(lines)-15):], "\n\t")
}
