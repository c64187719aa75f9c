package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The program as it is built: starts, is interrupted, and ends cleanly, with nothing left behind.
func TestBinaryEndsCleanlyOnInterrupt(t *testing.T) {
	program := build(t)
	tmp := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-a", "127.0.0.1:0", "-b", "127.0.0.1:0", "-import", t.TempDir())
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "imported") {
	}
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.NotEmpty(t, left, "the temporary databases")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	for lines.Scan() { // to the end of the output
	}
	require.NoError(t, cmd.Wait(), stderr.String())
	require.Empty(t, stderr.String())
	left, err = os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestBinaryFailsPlainly(t *testing.T) {
	program := build(t)
	out, err := exec.CommandContext(t.Context(), program, "-import", filepath.Join(t.TempDir(), "none")).CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, string(out), "wiki: -import:")
	require.NotContains(t, string(out), "DC a")
}

func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "wiki")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}
