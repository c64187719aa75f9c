package testservers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Instance is servers of one's own in both DCs, with the same names and variables as the shared ones. It ends with the
// test, and with its process.
type Instance struct {
	Bed
	vars map[string]string
}

// Memcached starts memcached servers of one's own, two for each DC.
func Memcached(tb testing.TB) *Instance {
	tb.Helper()
	return private(tb, "memcached", nil)
}

// Swift starts Swift clusters of one's own, one for each DC.
func Swift(tb testing.TB) *Instance {
	tb.Helper()
	return private(tb, "swift", nil)
}

// MariaDBOptions are what a private ring may differ in. The zero value is like the shared ring, without heartbeats.
type MariaDBOptions struct {
	Heartbeat    bool   `json:"heartbeat,omitempty"`     // pt-heartbeat against both primaries, beating twice a second
	BothWritable bool   `json:"both_writable,omitempty"` // b's primary is not read-only
	BinlogFormat string `json:"binlog_format,omitempty"` // ROW (the default), STATEMENT or MIXED
	Durable      bool   `json:"durable,omitempty"`       // each commit is flushed to the disk
}

// MariaDB starts a ring of one's own: the primaries mariadb-a and mariadb-b replicate from each other over the links,
// mariadb-a-replica and mariadb-b-replica from the primary of their DC. mariadb-a alone is writable.
func MariaDB(tb testing.TB, options MariaDBOptions) *Instance {
	tb.Helper()
	return private(tb, "mariadb", options)
}

func private(tb testing.TB, kind string, options any) *Instance {
	tb.Helper()
	i := &Instance{Bed: *Control(tb)}
	var made struct {
		ID        string            `json:"id"`
		Variables map[string]string `json:"variables"`
	}
	hold(tb, i.control, "private/"+kind, nil, options, verbLimit, &made)
	i.set, i.vars = made.ID, made.Variables
	return i
}

// Var returns the instance's value of MULTIDC_TEST_<name>. A variable that it does not have ends the test.
func (i *Instance) Var(name string) string {
	i.tb.Helper()
	value, ok := i.vars[prefix+name]
	if !ok {
		i.tb.Fatalf("this private instance has no %s%s: it has %q", prefix, name, slices.Sorted(maps.Keys(i.vars)))
	}
	return value
}

// Vars is Var of a comma separated list.
func (i *Instance) Vars(name string) []string {
	i.tb.Helper()
	return strings.Split(i.Var(name), ",")
}

// EnvFile writes the test bed's variables, with the instance's in place of the shared ones, to a file as testbed up
// writes it: for a program under test.
func (i *Instance) EnvFile() string {
	i.tb.Helper()
	vars := map[string]string{}
	for _, v := range os.Environ() {
		if name, value, ok := strings.Cut(v, "="); ok && strings.HasPrefix(name, prefix) {
			vars[name] = value
		}
	}
	maps.Copy(vars, i.vars)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(vars[name], "'", `'\''`))
	}
	file := filepath.Join(i.tb.TempDir(), "env")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		i.tb.Fatal(err)
	}
	return file
}

// Shared takes a shared lease on a kind of server ("kafka") until the test ends: nobody stops or cuts it meanwhile.
// It waits while another test has the exclusive lease, or waits for it. A test must not ask for both.
func Shared(tb testing.TB, kind string) {
	tb.Helper()
	lease(tb, kind, "shared")
}

// Exclusive takes the exclusive lease on a kind of server until the test ends, and waits until nobody else has one.
// Who stops or cuts shared servers needs it, and puts right what it did before it ends.
func Exclusive(tb testing.TB, kind string) {
	tb.Helper()
	lease(tb, kind, "exclusive")
}

func lease(tb testing.TB, kind, mode string) {
	tb.Helper()
	limit := 10 * time.Minute // others' tests come first, and some are long
	if deadline, ok := tb.Context().Deadline(); ok {
		limit = time.Until(deadline)
	}
	hold(tb, Var(tb, "CONTROL"), "lease/"+kind, url.Values{"mode": {mode}}, nil, limit, &struct{}{})
}

// hold asks for something that lives as long as the connection, and ends that with the test.
func hold(tb testing.TB, control, path string, query url.Values, options any, limit time.Duration, answer any) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tooLate := time.AfterFunc(limit, cancel)
	body, err := post(ctx, control, path, query, options)
	if err == nil {
		err = json.NewDecoder(body).Decode(answer)
	}
	if !tooLate.Stop() && err == nil {
		err = ctx.Err()
	}
	tb.Cleanup(func() {
		cancel()
		if body != nil {
			_ = body.Close()
		}
	})
	if err != nil {
		tb.Fatalf("test bed: %s: %v", path, err)
	}
}
