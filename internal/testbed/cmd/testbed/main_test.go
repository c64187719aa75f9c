package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/testbed/guard"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "multidc-testbed-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "testbed")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	if err != nil {
		panic(string(out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// needs skips where the server's program is missing, unless servers are required, and in a short run.
func needs(t *testing.T, program string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short starts no servers")
	}
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("MULTIDC_TEST_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

type result struct {
	code           int
	stdout, stderr string
}

// testbed runs the program to its end.
func testbed(t *testing.T, args ...string) result {
	t.Helper()
	return finish(t, command(t, args...))
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, binary, args...)
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func TestRunPropagatesTheCommandsEnd(t *testing.T) {
	needs(t, "memcached")
	for script, want := range map[string]int{"exit 0": 0, "exit 3": 3, "kill -9 $$": 137, "kill -TERM $$": 143} {
		got := testbed(t, "run", "--only", "memcached", "--", "sh", "-c", `echo "$MULTIDC_TESTBED_DIR"; `+script)
		if got.code != want {
			t.Errorf("%s: exit code %d, want %d\n%s", script, got.code, want, got.stderr)
		}
		mustBeGone(t, strings.TrimSpace(got.stdout))
	}
}

// mustBeGone demands that a bed left no file and no process.
func mustBeGone(t *testing.T, dir string) {
	t.Helper()
	if !strings.Contains(dir, "multidc-testbed-") {
		t.Fatalf("%q is no bed's directory", dir)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if left := guard.Marked(dir); len(left) > 0 {
		t.Errorf("processes %v of %s are still there", left, dir)
	}
}

func TestRunEndsWhatTheCommandLeft(t *testing.T) {
	needs(t, "memcached")
	// A grandchild in a session of its own, which no signal to a group would reach.
	got := testbed(t, "run", "--only", "memcached", "--", "sh", "-c", `setsid sleep 600 & echo "$MULTIDC_TESTBED_DIR"`)
	if got.code != 0 {
		t.Fatalf("exit code %d\n%s", got.code, got.stderr)
	}
	mustBeGone(t, strings.TrimSpace(got.stdout))
}

// keepUp starts a bed and returns when it says how to use it.
func keepUp(t *testing.T, args ...string) (cmd *exec.Cmd, dir, env string) {
	t.Helper()
	cmd = command(t, append([]string{"up"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	said := &watched{until: "end      Ctrl-C", seen: make(chan struct{})}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	select {
	case <-said.seen:
	case <-ended:
		t.Fatalf("testbed up ended:\n%s", said)
	}
	_, rest, _ := strings.Cut(said.String(), "use      . ")
	env, _, _ = strings.Cut(rest, "\n")
	text, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ = strings.Cut(string(text), "test bed in ")
	dir, _, _ = strings.Cut(rest, ",")
	return cmd, dir, env
}

// The bed is killed, and so cannot clear up itself: no process and no file may be left.
func TestAKilledBedLeavesNothing(t *testing.T) {
	needs(t, "mariadbd")
	cmd, dir, env := keepUp(t, "--only", "memcached,mariadb", "--env", filepath.Join(t.TempDir(), "bed.env"))
	if n := len(guard.Marked(dir)); n < 8 {
		t.Fatalf("the bed has %d processes, want at least its 8 servers", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, dirErr := os.Stat(dir)
		_, envErr := os.Stat(env)
		if errors.Is(dirErr, os.ErrNotExist) && errors.Is(envErr, os.ErrNotExist) && len(guard.Marked(dir)) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left 20 s after the kill: %v, %v, processes %v", dirErr, envErr, guard.Marked(dir))
		}
	}
}

// Two beds side by side, begun at the same moment: neither takes a port of the other.
func TestTwoBedsAtOnce(t *testing.T) {
	needs(t, "memcached")
	results := make(chan result, 2)
	for range 2 {
		cmd := command(t, "run", "--only", "memcached", "--", "sh", "-c", `echo $MULTIDC_TEST_CONTROL $MULTIDC_TEST_MEMCACHED_A`)
		go func() { results <- finish(t, cmd) }()
	}
	one, two := <-results, <-results
	if one.code != 0 || two.code != 0 || one.stdout == two.stdout {
		t.Errorf("%d %q and %d %q", one.code, one.stdout, two.code, two.stdout)
	}
}

func TestEnvFileIsForAShell(t *testing.T) {
	needs(t, "memcached")
	file := filepath.Join(t.TempDir(), "it's one.env")
	_, _, env := keepUp(t, "--only", "memcached", "--env", file)
	if env != file {
		t.Fatalf("the env file is %s, want %s", env, file)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `. "$1"; printf %s "$MULTIDC_TEST_CONTROL $MULTIDC_TEST_CA"`, "sh", file).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "127.0.0.1:") || !strings.HasSuffix(string(out), "/ca.pem") {
		t.Errorf("sourced it says %q, %v", out, err)
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "say install, up, or run"},
		{[]string{"fly"}, 2, "say install, up, or run"},
		{[]string{"up", "--only", "memcached,mongodb"}, 2, `no kind of server "mongodb": there are memcached, mariadb, heartbeat, kafka, cassandra, swift`},
		{[]string{"up", "now"}, 2, `takes no argument "now"`},
		{[]string{"up", "--color"}, 2, "color"},
		{[]string{"run"}, 2, "say install, up, or run"},
		{[]string{"run", "--only", "memcached", "--", "no-such-command"}, 1, "no command no-such-command"},
		{[]string{"up", "--only", "memcached", "--env", "/no/such/folder/env"}, 1, "/no/such/folder/env"},
	} {
		got := testbed(t, tc.args...)
		if got.code != tc.code || !strings.Contains(got.stderr, tc.want) {
			t.Errorf("%q: exit code %d, want %d, with %q:\n%s", tc.args, got.code, tc.code, tc.want, got.stderr)
		}
	}
}

func TestAMissingProgramNamesItsPackage(t *testing.T) {
	cmd := command(t, "up", "--only", "heartbeat")
	cmd.Env = []string{"PATH=" + t.TempDir()}
	got := finish(t, cmd)
	for _, want := range []string{"mariadbd is not installed", "mariadb-server", "percona-toolkit", "testbed install --only mariadb,heartbeat"} {
		if got.code != 1 || !strings.Contains(got.stderr, want) {
			t.Errorf("exit code %d, want 1 and %q:\n%s", got.code, want, got.stderr)
		}
	}
	cmd = command(t, "install", "--only", "memcached")
	cmd.Env = []string{"PATH=" + t.TempDir()}
	if got := finish(t, cmd); got.code != 1 || !strings.Contains(got.stderr, "not a Debian") {
		t.Errorf("install without apt-get: exit code %d:\n%s", got.code, got.stderr)
	}
}

// A server that fails tells why by the end of its log, and what had started beside it is gone.
func TestAFailingServerShowsItsLog(t *testing.T) {
	needs(t, "memcached")
	dir := t.TempDir()
	script := "#!/bin/sh\necho 'failed to listen: the moon is full' >&2\nexit 71\n"
	if err := os.WriteFile(filepath.Join(dir, "memcached"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	// The servers run as another user.
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := command(t, "run", "--only", "memcached", "--", "true")
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	got := finish(t, cmd)
	if got.code != 1 || !strings.Contains(got.stderr, "the moon is full") || !strings.Contains(got.stderr, "start memcached-") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
}

// A whole block of ports that somebody else holds is passed over, as is a single port in the bed's own.
func TestTakenPortsArePassedOver(t *testing.T) {
	needs(t, "memcached")
	var held []net.Listener
	for _, port := range []int{10000, 10500, 11001} {
		if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			held = append(held, l)
		}
	}
	got := testbed(t, "run", "--only", "memcached", "--", "sh", "-c", "echo $MULTIDC_TEST_CONTROL,$MULTIDC_TEST_MEMCACHED_A")
	if got.code != 0 {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
	for _, l := range held {
		if strings.Contains(got.stdout, l.Addr().String()) {
			t.Errorf("%s was handed out though it is taken: %s", l.Addr(), got.stdout)
		}
		_ = l.Close()
	}
}

// An interrupt ends the command first, then the bed.
func TestInterrupt(t *testing.T) {
	needs(t, "memcached")
	cmd := command(t, "run", "--only", "memcached", "--", "sh", "-c",
		`echo "$MULTIDC_TESTBED_DIR"; trap 'echo asked to end; exit 5' TERM; echo waiting; while :; do sleep 0.05; done`)
	said := &watched{until: "waiting", seen: make(chan struct{})}
	cmd.Stdout = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-said.seen
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 5 || !strings.Contains(said.String(), "asked to end") {
		t.Errorf("exit code %d, want the command's 5; it said %q", cmd.ProcessState.ExitCode(), said)
	}
	dir, _, _ := strings.Cut(said.String(), "\n")
	mustBeGone(t, dir)
}
