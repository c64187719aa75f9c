package bed

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// forTests are variables that no bed sets: whoever runs the tests does.
var forTests = []string{"REQUIRE", "SEED", "SEEDS"}

// Environ returns an environment with a set's variables, and without those of a bed around it.
func (s *Set) Environ(env []string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		name, ours := strings.CutPrefix(name, Prefix)
		return ours && !slices.Contains(forTests, name)
	})
	vars := s.Vars()
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}

// WriteEnv writes the shared variables to a file for a shell to source. It ends with the bed.
func (b *Bed) WriteEnv(file string) (string, error) {
	if file == "" {
		file = filepath.Join(b.Dir, "env")
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("write the env file: %w", err)
	}
	b.guard.File(file)
	var text strings.Builder
	fmt.Fprintf(&text, "# Variables of the test bed in %s, which removes this file when it ends.\n", b.Dir)
	vars := b.Shared.Vars()
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(vars[name], "'", `'\''`))
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return "", fmt.Errorf("write the env file: %w", err)
	}
	return file, nil
}
