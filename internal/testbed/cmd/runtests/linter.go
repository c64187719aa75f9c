package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// linterVersion is pinned: a new linter finds new things, and that is a change of its own.
const linterVersion = "v2.15.0"

const linterPath = tools + "/golangci-lint-" + linterVersion

// installLinter builds the linter from the Go module proxy, once: over a minute on two cores. It stays outside
// every go.mod, as it demands more than our modules do.
func installLinter(ctx context.Context) error {
	if _, err := os.Stat(linterPath); err == nil {
		return nil
	}
	aside, err := os.MkdirTemp(tools, "linter-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside)
	bin, err := filepath.Abs(aside)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@"+linterVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("golangci-lint %s: %w\n%s", linterVersion, err, indent(string(out)))
	}
	return os.Rename(filepath.Join(bin, "golangci-lint"), linterPath)
}
