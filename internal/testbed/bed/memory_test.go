package bed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTooLittleMemory(t *testing.T) {
	kinds := []Kind{{Name: "memcached"}, {Name: "kafka", MemoryMB: 700}, {Name: "cassandra", MemoryMB: 3000}}
	if err := enough(kinds, 3700); err != nil {
		t.Errorf("exactly enough was refused: %v", err)
	}
	err := enough(kinds, 3699)
	for _, want := range []string{"3699 MB are available", "3700 MB are needed", "cassandra 3000 MB", "--only"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := enough(kinds[:1], 0); err != nil {
		t.Errorf("memcached was refused: %v", err)
	}
}

func TestAvailableMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meminfo")
	if _, ok := availableMB(file); ok {
		t.Error("a missing file told how much there is")
	}
	if err := os.WriteFile(file, []byte("MemTotal: 24105000 kB\nMemAvailable:   20480000 kB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if mb, ok := availableMB(file); !ok || mb != 20000 {
		t.Errorf("%d, %v, want 20000", mb, ok)
	}
}
