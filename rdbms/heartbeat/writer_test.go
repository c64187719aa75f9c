package heartbeat

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newWriter(t *testing.T, db *sql.DB, options *WriterOptions) *Writer {
	t.Helper()
	w, err := NewWriter(db, options)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var errStop = errors.New("enough")

// start runs a writer until the returned function is called, which returns when it has ended.
func start(t *testing.T, w *Writer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return func() {
		t.Helper()
		cancel(errStop)
		if err := <-ended; !errors.Is(err, errStop) {
			t.Errorf("Run ended with %v, not with the context's cause", err)
		}
	}
}

// beats are when the row was written, as seconds since the test began.
func beats(f *fake, begun time.Time) (at []float64) {
	for _, s := range f.sent("`heartbeat` SET ts = ") {
		at = append(at, s.at.Sub(begun).Seconds())
	}
	return at
}

func wantBeats(t *testing.T, f *fake, begun time.Time, want ...float64) {
	t.Helper()
	if got := beats(f, begun); !slices.Equal(got, want) {
		t.Errorf("beats at %v s, want %v", got, want)
	}
}

// after lets the bubble's time pass, and all that happens then come to rest.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestNewWriterRefuses(t *testing.T) {
	_, db := newFake(t)
	for _, tc := range []struct {
		db      *sql.DB
		options *WriterOptions
		want    string
	}{
		{nil, nil, "*sql.DB"},
		{db, &WriterOptions{Table: "heartbeat"}, "WriterOptions.Table"},
		{db, &WriterOptions{Interval: 9 * time.Millisecond}, "WriterOptions.Interval"},
		{db, &WriterOptions{Interval: -time.Second}, "WriterOptions.Interval"},
	} {
		if w, err := NewWriter(tc.db, tc.options); w != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want an error with %s", tc.options, err, tc.want)
		}
	}
}

func TestLockName(t *testing.T) {
	// The first 16 hexadecimal digits of SHA-256 of "heartbeat.heartbeat": other programs may compute it too.
	const want = "multidc-hb.6f4daf177a0a1391"
	if got := lockName(defaultTable); got != want {
		t.Errorf("the lock is called %s, want %s", got, want)
	}
	_, db := newFake(t)
	if a, b := newWriter(t, db, nil), newWriter(t, db, &WriterOptions{Table: defaultTable}); a.lock != b.lock || a.lock != want {
		t.Errorf("the default table and the same by name have the locks %s and %s", a.lock, b.lock)
	}
}

func TestWriterBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		f, db := newFake(t)
		f.rows[11] = "2020-01-01T00:00:00.000000"
		f.rows[21] = "2020-01-01T00:00:00.000000" // another's
		stop := start(t, newWriter(t, db, nil))
		after(3500 * time.Millisecond)
		wantBeats(t, f, begun, 0, 1, 2, 3)
		if want := formatTime(begun.UTC().Add(3 * time.Second)); f.rows[11] != want || f.rows[21] != "2020-01-01T00:00:00.000000" {
			t.Errorf("the rows are %v, want %s in that of 11, and the other as it was", f.rows, want)
		}
		if f.open() != 1 {
			t.Errorf("%d connections, want one dedicated one", f.open())
		}
		stop()
		if f.open() != 0 || f.holder != nil {
			t.Errorf("after Run %d connections, lock held: %t", f.open(), f.holder != nil)
		}
		for _, never := range []string{"DELETE", "REPLACE", "CREATE", "INSERT"} {
			if got := f.sent(never); len(got) != 0 {
				t.Errorf("the writer said %v", got)
			}
		}
	})
}

func TestMissedTicksAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		f, db := newFake(t)
		f.rows[11] = ""
		f.before = func(_ context.Context, s statement) error {
			if strings.HasPrefix(s.text, "UPDATE") && s.at.Sub(begun) == time.Second {
				time.Sleep(3500 * time.Millisecond) // a slow disk
			}
			return nil
		}
		stop := start(t, newWriter(t, db, nil))
		after(6500 * time.Millisecond)
		wantBeats(t, f, begun, 0, 1, 5, 6)
		stop()
	})
}

func TestTheRowIsInserted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		f, db := newFake(t)
		f.before = func(_ context.Context, s statement) error {
			if strings.HasPrefix(s.text, "INSERT") { // somebody else is faster
				f.change(func() { f.rows[11] = "2020-01-01T00:00:00.000000" })
			}
			return nil
		}
		stop := start(t, newWriter(t, db, nil))
		synctest.Wait()
		wantBeats(t, f, begun, 0, 0) // UPDATE, INSERT, UPDATE once more
		if n := len(f.sent("@@server_id")); n != 1 {
			t.Errorf("it took %d tries", n)
		}
		if f.rows[11] != formatTime(begun.UTC()) || len(f.sent("INSERT")) != 1 {
			t.Errorf("rows %v after %v", f.rows, f.sent(""))
		}
		f.change(func() { f.before = nil; f.rows = map[uint32]string{} })
		after(time.Second)
		if f.rows[11] != formatTime(begun.UTC().Add(time.Second)) || len(f.sent("INSERT")) != 2 {
			t.Errorf("rows %v after %v", f.rows, f.sent(""))
		}
		stop()
	})
}

// A deadlock's victim is tried three times on its connection, with a time of its own each; then the connection goes.
func TestThreeTries(t *testing.T) {
	for _, refused := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			f, db := newFake(t)
			f.rows[11] = ""
			victims := 0
			f.before = func(_ context.Context, s statement) error {
				if strings.HasPrefix(s.text, "UPDATE") && victims < refused {
					victims++
					return errRefused
				}
				return nil
			}
			stop := start(t, newWriter(t, db, nil))
			after(500 * time.Millisecond)
			if refused < tries {
				wantBeats(t, f, begun, make([]float64, refused+1)...)
			}
			if again := len(f.sent("SET autocommit")) - 1; again != refused/tries {
				t.Errorf("refused %d times: connected %d times again", refused, again)
			}
			if clocks := len(f.sent("@@server_id")); clocks != refused+1 || f.rows[11] == "" {
				t.Errorf("refused %d times: the clock was read %d times, the row is %q", refused, clocks, f.rows[11])
			}
			stop()
		})
	}
}

// A clock that shows the same microsecond again makes an update that changes nothing: no row is missing then.
func TestTheSameTimeTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := newFake(t)
		stop := start(t, newWriter(t, db, nil))
		synctest.Wait()
		f.change(func() { f.step = time.Second }) // set back by exactly one interval
		after(1500 * time.Millisecond)
		f.change(func() { f.step = 1500 * time.Millisecond })
		after(3 * time.Second)
		if len(f.rows) != 1 || f.rows[11] < formatTime(time.Now().UTC().Add(-3*time.Second)) {
			t.Errorf("rows %v at %v", f.rows, time.Now().UTC())
		}
		stop()
	})
}

func TestReadOnlyPausesTheWriter(t *testing.T) {
	for _, word := range []string{"1", "ON", "NO_LOCK"} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			f, db := newFake(t)
			f.rows[11], f.table, f.readOnly = "", true, word
			var log bytes.Buffer
			stop := start(t, newWriter(t, db, &WriterOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
			after(1500 * time.Millisecond)
			wantBeats(t, f, begun)
			f.change(func() { f.readOnly = "OFF" })
			after(time.Second)
			wantBeats(t, f, begun, 2)
			f.change(func() { f.readOnly = word })
			after(2 * time.Second)
			wantBeats(t, f, begun, 2)
			if f.holder == nil || len(f.sent("autocommit")) != 1 {
				t.Error("the lock was lost with read_only, or the connection")
			}
			stop()
			if n := strings.Count(log.String(), "read_only has changed"); n != 3 {
				t.Errorf("the log says %d times that read_only has changed, want 3:\n%s", n, log.String())
			}
		})
	}
}

func TestWriteWhenReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		f, db := newFake(t)
		f.rows[11], f.readOnly = "", "1"
		stop := start(t, newWriter(t, db, &WriterOptions{WriteWhenReadOnly: true, Interval: 500 * time.Millisecond}))
		after(1100 * time.Millisecond)
		wantBeats(t, f, begun, 0, 0.5, 1)
		stop()
	})
}

// read_only may come on between looking and writing: the refusal is an error like any other, and the next look tells.
func TestReadOnlyBetweenLookAndWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := newFake(t)
		f.rows[11] = ""
		f.before = func(_ context.Context, s statement) error {
			if strings.HasPrefix(s.text, "UPDATE") {
				f.change(func() { f.readOnly = "1" })
				return errRefused
			}
			return nil
		}
		stop := start(t, newWriter(t, db, nil))
		after(5 * time.Second)
		if n := len(f.sent("UPDATE")); n != 1 || f.rows[11] != "" {
			t.Errorf("%d updates on a read-only server, row %q", n, f.rows[11])
		}
		stop()
	})
}

func TestTheTableIsCreated(t *testing.T) {
	for _, database := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f, db := newFake(t)
			f.table, f.database, f.readOnly = false, database, "1"
			stop := start(t, newWriter(t, db, nil))
			after(1500 * time.Millisecond)
			if len(f.sent("CREATE")) != 0 {
				t.Error("a table was created on a read-only server")
			}
			f.change(func() { f.readOnly = "0" })
			after(2 * time.Second)
			if got := f.sent("CREATE TABLE"); len(f.rows) != 1 || !strings.Contains(got[0].text, "server_id int unsigned NOT NULL PRIMARY KEY") {
				t.Errorf("rows %v after %v", f.rows, got)
			}
			if n := len(f.sent("CREATE DATABASE")); (n == 0) != database {
				t.Errorf("the database was created %d times, was there: %t", n, database)
			}
			stop()
		})
	}
}

func TestAServerWithoutID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, db := newFake(t)
		f.id = 0
		stop := start(t, newWriter(t, db, nil))
		after(2 * time.Second)
		if len(f.rows) != 0 {
			t.Errorf("rows %v", f.rows)
		}
		stop()
	})
}

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, db := newFake(t)
		w := newWriter(t, db, nil)
		stop := start(t, w)
		synctest.Wait()
		if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
			t.Errorf("a second Run gives %v", err)
		}
		stop()
		start(t, w)() // one after the other is fine
	})
}
