package purgelog

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func somePurge() []wanobjectcache.Purge {
	return []wanobjectcache.Purge{{
		Op: wanobjectcache.OpDelete, Key: "WANCache:default:user:42|#|v", Time: time.Now(), Holdoff: 11 * time.Second, Origin: "a",
	}}
}

// A wrong address costs no memory, and the error names it.
func TestLogOfAServerOfAnotherProtocol(t *testing.T) {
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1024))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad Request")
			_ = c.Close()
		}
	}()
	log := logTo(t, l)
	before := allocated()
	err := log.Append(t.Context(), somePurge())
	if !errors.Is(err, wanobjectcache.ErrUnavailable) || !strings.Contains(err.Error(), "what answers at "+l.Addr().String()+" does not speak Kafka") {
		t.Errorf("Append: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := allocated() - before; n > 64<<20 {
		t.Errorf("%d MiB were allocated", n>>20)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// The first attempt was sent and the connection is lost; Close forbids the second. Nobody knows whether the first arrived.
func TestLostAttemptIsUnknownAfterClose(t *testing.T) {
	l := listen(t)
	h := &hung{got: make(chan struct{})}
	go h.serve(t, l)
	log, err := NewLog([]string{l.Addr().String()}, &LogOptions{DC: "a", Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	appended := make(chan error, 1)
	go func() { appended <- log.Append(context.Background(), somePurge()) }()
	<-h.got
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Close(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Close, before all have an answer: %v", err)
	}
	h.hangUp(l)
	if err := <-appended; !errors.Is(err, wanobjectcache.ErrUnknownOutcome) || errors.Is(err, wanobjectcache.ErrClosed) {
		t.Errorf("Append: %v, want ErrUnknownOutcome", err)
	}
	if err := log.Append(t.Context(), somePurge()); !errors.Is(err, wanobjectcache.ErrClosed) {
		t.Errorf("Append after Close: %v, want ErrClosed", err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
