package testservers_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/multidc/multidc/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask sends memcached a command and returns its first line. Half a second is for ever on loopback.
func ask(addr, command string) (string, error) {
	c, err := (&net.Dialer{Timeout: 500 * time.Millisecond}).Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return talk(c, command, 500*time.Millisecond)
}

func talk(c net.Conn, command string, limit time.Duration) (string, error) {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

func mustAsk(t *testing.T, addr, command, want string) {
	t.Helper()
	if got, err := ask(addr, command); err != nil || !strings.HasPrefix(got, want) {
		t.Fatalf("%s answers %q with %q, %v, want %q", addr, command, got, err, want)
	}
}

func mustTimeOut(t *testing.T, addr string) {
	t.Helper()
	if got, err := ask(addr, "version"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%s: %q, %v, want a time-out", addr, got, err)
	}
}

func mustRefuse(t *testing.T, addr string) {
	t.Helper()
	if got, err := ask(addr, "version"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("%s: %q, %v, want a refused connection", addr, got, err)
	}
}

// open holds a connection that is known to work.
func open(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := talk(c, "version", time.Second); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSharedServersAnswerInBothDCs(t *testing.T) {
	for _, name := range []string{"MEMCACHED_A", "MEMCACHED_B", "MEMCACHED_A_VIA_B", "MEMCACHED_B_VIA_A"} {
		addrs := testservers.Vars(t, name)
		if len(addrs) != 2 {
			t.Errorf("%s names %q, want two servers", name, addrs)
		}
		for i, addr := range addrs {
			key := fmt.Sprintf("testservers-%s-%d", name, i)
			mustAsk(t, addr, "set "+key+" 0 60 2\r\nhi", "STORED")
			mustAsk(t, addr, "get "+key, "VALUE "+key+" 0 2")
		}
	}
}

func TestServerVerbs(t *testing.T) {
	pool := testservers.Memcached(t)
	addr, server := pool.Vars("MEMCACHED_A")[0], pool.Server("memcached-a-1")
	mustAsk(t, addr, "set k 0 0 1\r\n1", "STORED")
	server.Pause()
	mustTimeOut(t, addr)
	server.Pause() // again: nothing
	server.Resume()
	mustAsk(t, addr, "get k", "VALUE k")
	server.Stop()
	server.Stop()
	mustRefuse(t, addr)
	server.Start()
	mustAsk(t, addr, "get k", "END") // memcached keeps nothing
	server.Start()
	mustAsk(t, pool.Vars("MEMCACHED_A")[1], "version", "VERSION")
}

func TestLinkVerbs(t *testing.T) {
	pool := testservers.Memcached(t)
	direct, addr, link := pool.Vars("MEMCACHED_A")[0], pool.Vars("MEMCACHED_A_VIA_B")[0], pool.Link("memcached-a-1-via-b")

	c := open(t, addr)
	link.Cut()
	if _, err := talk(c, "version", time.Second); err == nil {
		t.Error("a connection survived the cut")
	}
	mustRefuse(t, addr)
	mustAsk(t, direct, "version", "VERSION")
	link.Heal()
	mustAsk(t, addr, "version", "VERSION")

	c = open(t, addr)
	link.BlackHole()
	if got, err := talk(c, "version", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("through a black hole came %q, %v", got, err)
	}
	mustTimeOut(t, addr)
	link.Heal()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(got, "VERSION") {
		t.Errorf("after the black hole its question was answered with %q, %v", got, err)
	}

	link.Reset()
	if _, err := talk(c, "version", time.Second); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("after a reset: %v, want a reset connection", err)
	}
	mustAsk(t, addr, "version", "VERSION")

	c = open(t, addr)
	const delay = 100 * time.Millisecond
	link.Latency(delay)
	start := time.Now()
	if _, err := talk(c, "version", 5*time.Second); err != nil || time.Since(start) < 2*delay {
		t.Errorf("a round trip with %v each way took %v, %v", delay, time.Since(start), err)
	}
}

func TestBetweenCutsOneInstanceOnly(t *testing.T) {
	mine, others := testservers.Memcached(t), testservers.Memcached(t)
	mine.Between("b", "a").Cut()
	for _, name := range []string{"MEMCACHED_A_VIA_B", "MEMCACHED_B_VIA_A"} {
		mustRefuse(t, mine.Vars(name)[0])
		mustRefuse(t, mine.Vars(name)[1])
		mustAsk(t, others.Vars(name)[0], "version", "VERSION")
		mustAsk(t, testservers.Vars(t, name)[0], "version", "VERSION")
	}
	mine.Between("a", "b").Heal()
	mustAsk(t, mine.Vars("MEMCACHED_A_VIA_B")[1], "version", "VERSION")
}

func TestInstanceEndsWithItsTest(t *testing.T) {
	var addrs []string
	t.Run("inner", func(t *testing.T) {
		pool := testservers.Memcached(t)
		addrs = append(pool.Vars("MEMCACHED_A"), pool.Vars("MEMCACHED_B_VIA_A")...)
		mustAsk(t, addrs[0], "version", "VERSION")
	})
	for _, addr := range addrs {
		for deadline := time.Now().Add(10 * time.Second); ; {
			if _, err := ask(addr, "version"); errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s still listens", addr)
			}
		}
	}
}

func TestLeases(t *testing.T) {
	held := make(chan string, 2)
	t.Run("readers together", func(t *testing.T) {
		testservers.Shared(t, "memcached")
		testservers.Shared(t, "memcached")
		go func() {
			// A test of its own, as it were, that ends when it has the lease.
			t.Run("writer", func(t *testing.T) {
				testservers.Exclusive(t, "memcached")
				held <- "exclusive"
			})
			close(held)
		}()
		select {
		case <-held:
			t.Error("the exclusive lease was granted beside two shared ones")
		case <-time.After(200 * time.Millisecond):
		}
	})
	select {
	case got := <-held:
		if got != "exclusive" {
			t.Error("the exclusive lease was never granted")
		}
	case <-time.After(10 * time.Second):
		t.Error("the exclusive lease was not granted after the shared ones ended")
	}
	for range held { // until the writer's test has ended
	}
}

func TestEnvFile(t *testing.T) {
	pool := testservers.Memcached(t)
	text, err := os.ReadFile(pool.EnvFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"export MULTIDC_TEST_MEMCACHED_A='" + pool.Var("MEMCACHED_A") + "'\n",
		"export MULTIDC_TEST_CONTROL='" + testservers.Var(t, "CONTROL") + "'\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the file lacks %q:\n%s", want, text)
		}
	}
}
