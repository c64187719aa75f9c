package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// testBed is what the wiki takes from a test bed's env file.
type testBed struct {
	vars    map[string]string // DSNs and addresses, by variable without its prefix
	ca      string            // file: who signs the servers' certificates
	control string            // host:port
}

// bedServer is one of its database servers, or a DC's pool of cache servers.
type bedServer struct{ name, dc, variable string }

var bedDatabases = []bedServer{
	{"mariadb-a", dcA, "MARIADB_A"}, {"mariadb-a-replica", dcA, "MARIADB_A_REPLICA"},
	{"mariadb-b", dcB, "MARIADB_B"}, {"mariadb-b-replica", dcB, "MARIADB_B_REPLICA"},
}

var bedCaches = []bedServer{{"memcached-a", dcA, "MEMCACHED_A"}, {"memcached-b", dcB, "MEMCACHED_B"}}

// from is the variable that says how a DC reaches the server: through the link if it stands in the other.
func (b bedServer) from(dc string) string {
	if dc == b.dc {
		return b.variable
	}
	return b.variable + "_VIA_" + strings.ToUpper(dc)
}

// reach says how a DC reaches a database server, whose database is the wiki's.
func (t testBed) reach(b bedServer, dc string) (*mysql.Config, error) {
	c, err := mysql.ParseDSN(t.vars[b.from(dc)])
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", envPrefix, b.from(dc), err)
	}
	c.DBName = wikiDatabase
	c.Timeout, c.ReadTimeout, c.WriteTimeout = patient, patient, patient
	c.Logger = &mysql.NopLogger{} // every error is also returned
	return c, nil
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
	var missing []string
	take := func(name string) string {
		if vars[envPrefix+name] == "" {
			missing = append(missing, envPrefix+name)
		}
		return vars[envPrefix+name]
	}
	bed := testBed{vars: map[string]string{}, ca: take("CA"), control: take("CONTROL")}
	for _, b := range slices.Concat(bedDatabases, bedCaches) {
		for _, dc := range []string{dcA, dcB} {
			bed.vars[b.from(dc)] = take(b.from(dc))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return testBed{}, fmt.Errorf("missing: %s: want the env file of a test bed with all servers, or at least: testbed up --only mariadb,heartbeat,memcached",
			strings.Join(missing, ", "))
	}
	return bed, nil
}
