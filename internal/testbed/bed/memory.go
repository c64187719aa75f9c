package bed

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// enoughMemory refuses kinds for which there is clearly too little memory: their servers would be killed somewhere in
// the middle, and say less. Where the system does not tell, it refuses nothing.
func enoughMemory(kinds []Kind) error {
	available, ok := availableMB("/proc/meminfo")
	if !ok {
		return nil
	}
	return enough(kinds, available)
}

func enough(kinds []Kind, available int) error {
	needed := 0
	var dear []string
	for _, kind := range kinds {
		needed += kind.MemoryMB
		if kind.MemoryMB > 0 {
			dear = append(dear, fmt.Sprintf("%s %d MB", kind.Name, kind.MemoryMB))
		}
	}
	if available >= needed {
		return nil
	}
	return fmt.Errorf("too little memory: %d MB are available, %d MB are needed (%s): free some, or start less with --only",
		available, needed, strings.Join(dear, ", "))
}

// availableMB reads what Linux says can be had without swapping.
func availableMB(file string) (int, bool) {
	f, err := os.Open(file)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kb int
		if _, err := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kb); err == nil {
			return kb / 1024, true
		}
	}
	return 0, false
}
