package testservers_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/multidc/multidc/internal/testservers"
)

// recorder is a test that notes how it was ended.
type recorder struct {
	testing.TB
	how, said string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) { r.end("skip", format, args) }

func (r *recorder) Fatalf(format string, args ...any) { r.end("fail", format, args) }

func (r *recorder) end(how, format string, args []any) {
	r.how, r.said = how, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// ended runs a function as a test, and returns how it ended.
func ended(t *testing.T, f func(tb testing.TB)) *recorder {
	t.Helper()
	r, done := &recorder{TB: t, how: "pass"}, make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestAMissingVariableSkipsOrFails(t *testing.T) {
	t.Setenv("MULTIDC_TEST_NOWHERE", "")
	for require, want := range map[string]string{"": "skip", "0": "skip", "1": "fail"} {
		t.Setenv("MULTIDC_TEST_REQUIRE", require)
		got := ended(t, func(tb testing.TB) { testservers.Var(tb, "NOWHERE") })
		if got.how != want || !strings.Contains(got.said, "MULTIDC_TEST_NOWHERE") {
			t.Errorf("REQUIRE=%q: %s, %q, want %s and the variable's name", require, got.how, got.said, want)
		}
	}
}

func TestClearErrors(t *testing.T) {
	for want, f := range map[string]func(tb testing.TB){
		`server "memcached-c-1"`:      func(tb testing.TB) { testservers.Control(tb).Server("memcached-c-1").Stop() },
		`link "memcached-a-1-via-z"`:  func(tb testing.TB) { testservers.Control(tb).Link("memcached-a-1-via-z").Cut() },
		`links between "a" and "c"`:   func(tb testing.TB) { testservers.Control(tb).Between("a", "c").Cut() },
		`latency wants ms=0 to 60000`: func(tb testing.TB) { testservers.Control(tb).Between("a", "b").Latency(-1e9) },
		`"SIDEWAYS" is none of ROW`: func(tb testing.TB) {
			testservers.MariaDB(tb, testservers.MariaDBOptions{BinlogFormat: "SIDEWAYS"})
		},
		`no MULTIDC_TEST_MARIADB_A`:   func(tb testing.TB) { testservers.Memcached(tb).Var("MARIADB_A") },
		`no kind of server "mongodb"`: func(tb testing.TB) { testservers.Shared(tb, "mongodb") },
	} {
		if got := ended(t, f); got.how != "fail" || !strings.Contains(got.said, want) {
			t.Errorf("%s, %q, want a failure with %q", got.how, got.said, want)
		}
	}
}

// A page in somebody's browser must not reach the control, under whatever name.
func TestTheControlIsNotForBrowsers(t *testing.T) {
	control := testservers.Var(t, "CONTROL")
	for name, header := range map[string]http.Header{
		"another origin": {"Origin": {"http://evil.example"}},
		"another site":   {"Sec-Fetch-Site": {"cross-site"}},
		"another name":   {"Host": {"evil.example"}},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+control+"/v1/between/a/b/heal", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header, request.Host, request.Close = header, header.Get("Host"), true
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s, want 403", name, answer.Status)
		}
	}
}

func TestAPausedServerDoesNotStart(t *testing.T) {
	pool := testservers.Memcached(t)
	pool.Server("memcached-a-1").Pause()
	got := ended(t, func(tb testing.TB) {
		// By its address, as who has only the variables would.
		testservers.Control(tb).Server(pool.Vars("MEMCACHED_A")[0]).Start()
	})
	if got.how != "fail" || !strings.Contains(got.said, "resume it") {
		t.Errorf("%s, %q, want a failure that says to resume it", got.how, got.said)
	}
}
