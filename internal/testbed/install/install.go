// Package install installs what a test bed's servers need, on Debian.
package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/multidc/multidc/internal/testbed/bed"
)

// Missing installs the packages that these kinds lack, and tells out what it does. Elsewhere than on Debian its error
// says what is needed.
func Missing(ctx context.Context, out io.Writer, kinds []bed.Kind) error {
	packages := bed.MissingPackages(kinds...)
	if len(packages) == 0 {
		fmt.Fprintln(out, "nothing is missing")
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("%w\nThis is not a Debian: install the equivalents of its packages %s yourself", bed.Missing(kinds...), strings.Join(packages, " "))
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w\nTo install wants root: sudo apt-get install --no-install-recommends %s", bed.Missing(kinds...), strings.Join(packages, " "))
	}
	fmt.Fprintln(out, "installing", strings.Join(packages, " "))
	if err := apt(ctx, packages); err != nil {
		return err
	}
	return bed.Missing(kinds...)
}

func apt(ctx context.Context, packages []string) error {
	allow, err := forbidServices()
	if err != nil {
		return err
	}
	err = root(ctx, "apt-get", "update", "-q")
	if err == nil {
		err = root(ctx, "apt-get", append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)...)
	}
	return errors.Join(err, allow())
}

// policy decides whether a package may start a service when it is installed: 101 forbids it.
const policy = "/usr/sbin/policy-rc.d"

// forbidServices keeps packages from starting services, unless the machine has a policy of its own, and returns what
// undoes that.
func forbidServices() (allow func() error, err error) {
	file, err := os.OpenFile(policy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) //nolint:gosec // it is executed
	switch {
	case errors.Is(err, fs.ErrExist):
		return func() error { return nil }, nil
	case err != nil:
		return nil, err
	}
	_, err = file.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(policy))
	}
	return func() error { return os.Remove(policy) }, nil
}

func root(ctx context.Context, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said)
	}
	return nil
}
