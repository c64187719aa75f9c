// Package dcname checks the names of datacenters.
//
// DC names cross multidc's API as plain strings and end up inside cache keys, Kafka topics, cookies, SQL and
// HTTP headers. One narrow alphabet keeps them harmless in all of these, without escaping.
package dcname

import "fmt"

// MaxLen is the longest name of a DC, in bytes.
const MaxLen = 32

// Check returns nil if name is a usable DC name: 1 to 32 bytes of a-z, 0-9 and '-'.
// The error shows the name and the rule it breaks.
func Check(name string) error {
	if name == "" {
		return fmt.Errorf("DC name is empty: want 1 to %d of a-z, 0-9, -", MaxLen)
	}
	if len(name) > MaxLen {
		// Only the beginning is shown: a name may be hostile input of any size.
		return fmt.Errorf("DC name %q… has %d bytes: want 1 to %d of a-z, 0-9, -", name[:MaxLen], len(name), MaxLen)
	}
	for i := 0; i < len(name); i++ {
		if !legal(name[i]) {
			return fmt.Errorf("DC name %q has %q at byte %d: want 1 to %d of a-z, 0-9, -", name, name[i:i+1], i, MaxLen)
		}
	}
	return nil
}

func legal(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
}
