package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that says back what it hears.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func open(t *testing.T, upstream string) *Link {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	_ = free.Close()
	l, err := Listen(addr, upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, []byte(text)) {
		t.Fatalf("heard %q, %v: want %q", got, err, text)
	}
}

func silent(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v: want silence", n, err)
	}
}

func TestCutClosesAndRefusesUntilHealed(t *testing.T) {
	l := open(t, echo(t))
	c := dial(t, l)
	say(t, c, "x")
	hear(t, c, "x")
	l.Cut()
	l.Cut()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection outlived the cut: %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dial a cut link: %v, want refused", err)
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	c = dial(t, l)
	say(t, c, "y")
	hear(t, c, "y")
}

func TestBlackHoleDeliversAfterHeal(t *testing.T) {
	l := open(t, echo(t))
	old := dial(t, l)
	say(t, old, "a")
	hear(t, old, "a")
	if err := l.BlackHole(); err != nil {
		t.Fatal(err)
	}
	say(t, old, "b")
	fresh := dial(t, l) // the connect succeeds, as into a full backlog
	say(t, fresh, "c")
	silent(t, old)
	silent(t, fresh)
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	hear(t, old, "b")
	hear(t, fresh, "c")
}

func TestBlackHoleAfterCutAcceptsAgain(t *testing.T) {
	l := open(t, echo(t))
	l.Cut()
	if err := l.BlackHole(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, l)
	say(t, c, "x")
	silent(t, c)
	l.Cut() // a black hole can be cut
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection outlived the cut: %v", err)
	}
}

func TestResetIsARST(t *testing.T) {
	l := open(t, echo(t))
	c := dial(t, l)
	say(t, c, "x")
	hear(t, c, "x") // idle and established: what toxiproxy cannot reset
	if n := l.Reset(); n != 1 {
		t.Errorf("reset %d connections, want 1", n)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("after a reset: %v, want ECONNRESET", err)
	}
	c = dial(t, l)
	say(t, c, "y")
	hear(t, c, "y")
}

func TestLatencyDelaysBothWaysAndKeepsOrder(t *testing.T) {
	l := open(t, echo(t))
	c := dial(t, l)
	const each = 60 * time.Millisecond
	l.Latency(each)
	began := time.Now()
	say(t, c, "one")
	say(t, c, "two")
	hear(t, c, "onetwo")
	if took := time.Since(began); took < 2*each { // a lower bound holds on any machine
		t.Fatalf("a round trip took %v, want at least %v", took, 2*each)
	}
}

func TestHalfCloseReachesTheServer(t *testing.T) {
	l := open(t, echo(t))
	c := dial(t, l).(*net.TCPConn)
	say(t, c, "last words")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(c); err != nil || string(got) != "last words" {
		t.Fatalf("read %q, %v", got, err)
	}
}

func TestServerGoneResets(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	// The reset may come before the connect has returned.
	c, err := net.Dial("tcp", open(t, gone.Addr().String()).Addr())
	if err == nil {
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("a link to a server that is gone: %v, want ECONNRESET", err)
	}
}

func TestClosedLinkCannotBeHealed(t *testing.T) {
	l := open(t, echo(t))
	dial(t, l)
	l.Close()
	if err := l.Heal(); err == nil {
		t.Fatal("a closed link was healed")
	}
}
