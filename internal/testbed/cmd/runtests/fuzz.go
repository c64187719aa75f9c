package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// fuzz gives every fuzz test of the packages a minute.
func (r *runner) fuzz(ctx context.Context) error {
	packages, err := exec.CommandContext(ctx, "go", append([]string{"list"}, r.patterns()...)...).Output()
	if err != nil {
		return err
	}
	for pkg := range strings.FieldsSeq(string(packages)) {
		names, err := exec.CommandContext(ctx, "go", "test", "-list", "^Fuzz", pkg).Output()
		if err != nil {
			return fmt.Errorf("listing the fuzz tests of %s: %w", shortName(pkg), err)
		}
		for name := range strings.FieldsSeq(string(names)) {
			if !strings.HasPrefix(name, "Fuzz") {
				continue
			}
			start := time.Now()
			if err := quiet(ctx, ".", "go", "test", "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", "1m", pkg); err != nil {
				return fmt.Errorf("%s.%s: %w", shortName(pkg), name, err)
			}
			r.took("  "+shortName(pkg)+" "+name, start)
		}
	}
	return nil
}
