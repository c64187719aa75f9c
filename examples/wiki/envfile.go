package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// testBed is what the wiki takes from a test bed's env file.
type testBed struct {
	primaryA, replicaA string // DSNs within DC a
	primaryB, replicaB string // and DC b
	aViaB, bViaA       string // each primary as the other DC reaches it, through the link
	ca                 string // file: who signs the servers' certificates
	control            string // host:port
}

const envPrefix = "MULTIDC_TEST_"

// readEnvFile reads lines like export MULTIDC_TEST_MARIADB_A='app:app@tcp(127.0.0.1:10007)/'.
func readEnvFile(name string) (testBed, error) {
	f, err := os.Open(name)
	if err != nil {
		return testBed{}, err
	}
	defer func() { _ = f.Close() }() // only read
	vars := map[string]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		key, value, err := parseEnvLine(lines.Text())
		if err != nil {
			return testBed{}, fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		vars[key] = value
	}
	if err := lines.Err(); err != nil {
		return testBed{}, fmt.Errorf("%s: %w", name, err)
	}
	bed, err := newTestBed(vars)
	if err != nil {
		return testBed{}, fmt.Errorf("%s: %w", name, err)
	}
	return bed, nil
}

// parseEnvLine reads one line; blank lines and comments have no key.
func parseEnvLine(line string) (key, value string, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", "", nil
	}
	key, quoted, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
	if !ok || key == "" || strings.ContainsAny(key, " \t'\"") {
		return "", "", errors.New("want export NAME='value'")
	}
	value, err = unquote(quoted)
	return key, value, err
}

// unquote takes a word as a shell does: single quotes around pieces, and a backslash before a quote between them.
func unquote(s string) (string, error) {
	var out strings.Builder
	for s != "" {
		switch {
		case s[0] == '\'':
			inner, rest, ok := strings.Cut(s[1:], "'")
			if !ok {
				return "", errors.New("a quote is not closed")
			}
			out.WriteString(inner)
			s = rest
		case s[0] == '\\' && len(s) > 1:
			out.WriteByte(s[1])
			s = s[2:]
		case strings.IndexByte(" \t\"\\$`;&|<>()", s[0]) >= 0:
			return "", fmt.Errorf("%q outside single quotes", s[:1])
		default:
			out.WriteByte(s[0])
			s = s[1:]
		}
	}
	return out.String(), nil
}

func newTestBed(vars map[string]string) (testBed, error) {
	var bed testBed
	var missing []string
	for name, field := range map[string]*string{
		"MARIADB_A": &bed.primaryA, "MARIADB_A_REPLICA": &bed.replicaA, "MARIADB_A_VIA_B": &bed.aViaB,
		"MARIADB_B": &bed.primaryB, "MARIADB_B_REPLICA": &bed.replicaB, "MARIADB_B_VIA_A": &bed.bViaA,
		"CA": &bed.ca, "CONTROL": &bed.control,
	} {
		if *field = vars[envPrefix+name]; *field == "" {
			missing = append(missing, envPrefix+name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return testBed{}, fmt.Errorf("missing: %s: is this the file that testbed up has written?", strings.Join(missing, ", "))
	}
	return bed, nil
}
