package dcroute

import (
	"fmt"
	"net/netip"
	"strings"
)

// bareHost is a Host header's host: lower case, without port, brackets and trailing dot.
func bareHost(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host, _, _ = strings.Cut(inner, "]")
	} else if name, _, ok := strings.Cut(host, ":"); ok && strings.Count(host, ":") == 1 {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// hostKey is how lookupHost finds a host, or a "*." and a suffix.
func hostKey(pattern string) (string, error) {
	suffix, glob := strings.CutPrefix(pattern, "*.")
	name := bareHost(suffix)
	if _, err := netip.ParseAddr(name); !isHostname(name) && (glob || err != nil) {
		return "", fmt.Errorf("%.64q: want a host's name, or *. and a suffix", pattern)
	}
	if glob {
		return "." + name, nil
	}
	return name, nil
}

// lookupHost finds the longest pattern: the host itself, else its suffixes, whose keys begin with a dot.
func lookupHost[V any](hosts map[string]V, host string) (v V, ok bool) {
	if len(hosts) == 0 {
		return v, false
	}
	if v, ok := hosts[host]; ok && !strings.HasPrefix(host, ".") && host != "" {
		return v, true
	}
	for i := 1; i < len(host); i++ { // from 1: a suffix stands below at least one label
		if host[i] == '.' {
			if v, ok := hosts[host[i:]]; ok {
				return v, true
			}
		}
	}
	return v, false
}

// hostMatches is lookupHost for one key.
func hostMatches(key, host string) bool {
	if strings.HasPrefix(key, ".") {
		return len(host) > len(key) && strings.HasSuffix(host, key)
	}
	return host == key
}

// isHostname is lenient: what is in use, lower and upper case, and no port.
func isHostname(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isAlnum(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "..")
}
