package heartbeat

import (
	"bytes"
	"context"
	"database/sql/driver"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoRightToCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := newFake(t)
		f.table = false
		f.before = func(_ context.Context, s statement) error {
			if strings.HasPrefix(s.text, "CREATE") {
				return errRefused
			}
			return nil
		}
		var log bytes.Buffer
		stop := start(t, newWriter(t, db, &WriterOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		after(10 * time.Minute)
		f.change(func() { f.before = nil })
		after(10 * time.Second)
		if len(f.rows) != 1 {
			t.Error("the writer has given up")
		}
		stop()
		if n := strings.Count(log.String(), "not beating"); n < 9 || n > 12 {
			t.Errorf("the log complains %d times in ten minutes, want about once a minute:\n%s", n, log.String())
		}
		if !strings.Contains(log.String(), "no such table") || !strings.Contains(log.String(), errRefused.Error()) {
			t.Errorf("the log does not say why:\n%s", log.String())
		}
	})
}

// Case Xf: of two writers one beats; the other asks every 5 intervals, and takes over when the connection is cut.
func TestTwoWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		f, db := newFake(t)
		f.rows[11] = ""
		stopFirst := start(t, newWriter(t, db, nil))
		after(500 * time.Millisecond)
		stopSecond := start(t, newWriter(t, db, nil))
		after(11 * time.Second) // 11.5 s
		var asked []float64
		for _, s := range f.sent("GET_LOCK") {
			asked = append(asked, s.at.Sub(begun).Seconds())
		}
		if want := []float64{0, 0.5, 5.5, 10.5}; !slices.Equal(asked, want) {
			t.Errorf("the lock was asked for at %v s, want %v", asked, want)
		}
		wantBeats(t, f, begun, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
		f.change(func() { f.down = true; f.conns[0].kill() }) // the second's connection stays
		after(6 * time.Second)                                // 17.5 s
		wantBeats(t, f, begun, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15.5, 16.5, 17.5)
		f.change(func() { f.down = false }) // the first comes back, and stands by
		after(8 * time.Second)              // 25.5 s
		wantBeats(t, f, begun, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15.5, 16.5, 17.5, 18.5, 19.5, 20.5, 21.5, 22.5, 23.5, 24.5, 25.5)
		if f.holder != f.conns[1] {
			t.Error("the lock has changed hands again")
		}
		stopSecond() // which frees it
		after(6 * time.Second)
		if n := len(beats(f, begun)); f.holder == nil || n < 23 {
			t.Errorf("%d beats, lock held: %t", n, f.holder != nil)
		}
		stopFirst()
	})
}

// A connection that is killed, with the server well, costs a tenth of a second: its writer is back before another asks.
func TestAKilledConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		f, db := newFake(t)
		f.rows[11] = ""
		stop := start(t, newWriter(t, db, nil))
		after(500 * time.Millisecond)
		f.change(func() { f.conns[0].kill() })
		after(time.Second)
		if at := beats(f, begun); len(at) != 2 || at[1] < 1.08 || at[1] > 1.12 {
			t.Errorf("beats at %v s", at)
		}
		stop()
	})
}

// The context ends while the server hangs: Run does not.
func TestAHangingServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := newFake(t)
		f.rows[11] = ""
		f.before = func(ctx context.Context, s statement) error {
			if s.conn == 0 && strings.HasPrefix(s.text, "UPDATE") {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		stop := start(t, newWriter(t, db, nil))
		after(6 * time.Second) // given up after 5 s, and a new connection
		if n := len(f.sent("SET autocommit")); n != 2 || f.rows[11] == "" {
			t.Errorf("%d connections, row %q", n, f.rows[11])
		}
		f.change(func() {
			f.before = func(ctx context.Context, _ statement) error { <-ctx.Done(); return ctx.Err() }
		})
		after(time.Second)
		before := time.Now()
		stop()
		if waited := time.Since(before); waited != 0 {
			t.Errorf("Run ended %v after its context", waited)
		}
	})
}

func TestReconnectWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := newFake(t)
		f.rows[11] = ""
		stop := start(t, newWriter(t, db, nil))
		after(1500 * time.Millisecond)
		f.change(func() { f.down = true; f.conns[0].kill() })
		after(time.Hour)
		f.change(func() { f.down = false; f.rows[11] = "" })
		after(6 * time.Second) // the longest wait is 5 s + 20 %
		if f.rows[11] == "" {
			t.Error("no beat after the server came back")
		}
		stop()
	})
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 6: 3200 * time.Millisecond, 7: 5 * time.Second, 1 << 40: 5 * time.Second} {
		for range 100 {
			if got := backoff(failures); got < want*8/10 || got > want*12/10 {
				t.Fatalf("after %d failures %v, want about %v", failures, got, want)
			}
		}
	}
}

func TestIdleSeconds(t *testing.T) {
	for interval, want := range map[time.Duration]int64{
		10 * time.Millisecond: 10, 500 * time.Millisecond: 10, time.Second: 15, time.Minute: 900, 1 << 62: 365 * 24 * 3600,
	} {
		if got := idleSeconds(interval); got != want {
			t.Errorf("with an interval of %v the server waits %d s, want %d", interval, got, want)
		}
	}
}

// A lost connection answers all further tries with ErrBadConn: they are not made.
func TestALostConnectionIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := newFake(t)
		f.before = func(_ context.Context, s statement) error {
			if s.conn == 0 && strings.HasPrefix(s.text, "UPDATE") {
				return driver.ErrBadConn
			}
			return nil
		}
		stop := start(t, newWriter(t, db, nil))
		after(500 * time.Millisecond)
		if n := len(f.sent("UPDATE")); n != 2 || len(f.rows) != 1 {
			t.Errorf("%d updates, rows %v", n, f.rows)
		}
		stop()
	})
}
