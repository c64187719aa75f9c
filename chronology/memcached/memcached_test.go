package memcached

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/internal/mcclient"
)

func appendX(old []byte) ([]byte, error) { return append(old, 'x'), nil }

func TestNewRefuses(t *testing.T) {
	good := []string{"10.0.0.1:11211"}
	for want, tc := range map[string]struct {
		servers []string
		opts    *Options
	}{
		"no servers":                  {nil, nil},
		"nowhere":                     {[]string{"10.0.0.1:11211", "nowhere"}, nil},
		"is given twice":              {append(good, good...), nil},
		"Options.MaxIdle is negative": {good, &Options{MaxIdle: -1}},
	} {
		if _, err := New(tc.servers, tc.opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// What is sent: an add of what was missing, a cas of the version that was read.
func TestOnTheWire(t *testing.T) {
	for value, want := range map[string][]string{
		"":    {"gets", "add 0 70 1 x"},
		"old": {"gets", "cas 0 70 4 77 oldx"},
	} {
		store, server := script(t, reads(value, "STORED\r\n"))
		if err := store.Update(t.Context(), "key", 70*time.Second, appendX); err != nil {
			t.Error(err)
		}
		if got := server.commands(); !slices.Equal(got, want) {
			t.Errorf("over %q: sent %q, want %q", value, got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	for ttl, want := range map[time.Duration]int32{
		math.MinInt64: -1, -1: -1, 0: -1, 1: 1, time.Second: 1, time.Second + 1: 2, 60 * time.Second: 60,
		30 * 24 * time.Hour: 2592000, 30*24*time.Hour + 1: 2592000, math.MaxInt64: 2592000,
	} {
		if got := seconds(ttl); got != want {
			t.Errorf("%v: got %d, want %d", ttl, got, want)
		}
	}
}

// What an answer to a write means: begin anew, or say that it is not known.
func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		value, answer string
		again         bool
	}{
		{"", "NOT_STORED\r\n", true},
		{"old", "EXISTS\r\n", true},
		{"old", "NOT_FOUND\r\n", true},
		{"", "SERVER_ERROR out of memory storing object\r\n", false},
		{"old", "SERVER_ERROR out of memory storing object\r\n", false},
	} {
		store, server := script(t, reads(tc.value, tc.answer, "STORED\r\n"))
		err := store.Update(t.Context(), "key", time.Minute, appendX)
		if commands := len(server.commands()); tc.again && (err != nil || commands != 4) {
			t.Errorf("%q, then STORED: got %v after %d commands, want nil after 4", tc.answer, err, commands)
		} else if !tc.again && (!errors.Is(err, mcclient.ErrUnknownOutcome) || commands != 2) {
			t.Errorf("%q: got %v after %d commands, want ErrUnknownOutcome after 2", tc.answer, err, commands)
		}
	}
}

func TestContended(t *testing.T) {
	for value, answer := range map[string]string{"": "NOT_STORED\r\n", "old": "EXISTS\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			store, server := script(t, reads(value, answer))
			begun, runs := time.Now(), 0
			err := store.Update(t.Context(), "key", time.Minute, func(old []byte) ([]byte, error) {
				runs++
				return appendX(old)
			})
			if commands := len(server.commands()); !errors.Is(err, chronology.ErrContended) || runs != 10 || commands != 20 {
				t.Errorf("got %v after %d runs of fn and %d commands, want ErrContended after 10 and 20", err, runs, commands)
			}
			if passed := time.Since(begun); passed == 0 || passed > 4088*time.Millisecond {
				t.Errorf("it took %v, want some time, and at most 8 ms + 16 ms + … + 2048 ms", passed)
			}
		})
	}
}

// Nothing was written then, and nothing is.
func TestContextEndsBetweenAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, _ := script(t, reads("old", "EXISTS\r\n"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err := store.Update(ctx, "key", time.Minute, appendX)
		if passed := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || passed != 10*time.Millisecond {
			t.Errorf("got %v after %v, want the context's error after 10ms", err, passed)
		}
	})
}

func TestErrorOfFn(t *testing.T) {
	refusal := errors.New("fn refuses")
	store, server := script(t, reads("old", "STORED\r\n"))
	err := store.Update(t.Context(), "key", time.Minute, func([]byte) ([]byte, error) { return []byte("late"), refusal })
	if got := server.commands(); !errors.Is(err, refusal) || len(got) != 1 {
		t.Errorf("got %v, and %q was sent, want fn's error and a read", err, got)
	}
}

// A server that hangs costs 50 ms: of a read and of a write, whose outcome is not known then.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, server := scriptWith(t, client(nil), func(command string) string {
			if strings.HasPrefix(command, "gets key") {
				return "END\r\n"
			}
			return ""
		})
		begun := time.Now()
		value, ok, err := store.Get(t.Context(), "hangs")
		if passed := time.Since(begun); !errors.Is(err, mcclient.ErrUnavailable) || ok || value != nil || passed != 50*time.Millisecond {
			t.Errorf("Get: got %q, %t, %v after %v, want ErrUnavailable after 50ms", value, ok, err, passed)
		}
		begun = time.Now()
		err = store.Update(t.Context(), "key", time.Minute, appendX)
		if passed := time.Since(begun); !errors.Is(err, mcclient.ErrUnknownOutcome) || passed != 50*time.Millisecond {
			t.Errorf("Update: got %v after %v, want ErrUnknownOutcome after 50ms", err, passed)
		}
		if got, want := server.commands(), []string{"gets hangs", "gets", "add 0 60 1 x"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q: nothing is tried again", got, want)
		}
	})
}

// A Get returns when its context ends, not when the request does.
func TestGetEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, _ := script(t, func(string) string { return "" })
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, ok, err := store.Get(ctx, "key")
		if passed := time.Since(begun); !errors.Is(err, context.DeadlineExceeded) || ok || passed != 7*time.Millisecond {
			t.Errorf("got %t, %v after %v, want the context's error after 7ms", ok, err, passed)
		}
	})
}

func TestBadKey(t *testing.T) {
	store, server := script(t, reads("", "STORED\r\n"))
	for _, key := range []string{"with a blank", strings.Repeat("x", 251)} {
		if _, ok, err := store.Get(t.Context(), key); err == nil || ok {
			t.Errorf("Get: got %t, %v, want an error", ok, err)
		}
		if err := store.Update(t.Context(), key, time.Minute, appendX); err == nil {
			t.Error("Update: got nil, want an error")
		}
	}
	if got := server.commands(); len(got) > 0 {
		t.Errorf("sent %q", got)
	}
}

func TestClosed(t *testing.T) {
	store, server := script(t, reads("", "STORED\r\n"))
	for range 2 {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, ok, err := store.Get(t.Context(), "key"); !errors.Is(err, mcclient.ErrClosed) || ok {
		t.Errorf("Get: got %t, %v, want ErrClosed", ok, err)
	}
	if err := store.Update(t.Context(), "key", time.Minute, appendX); !errors.Is(err, mcclient.ErrClosed) {
		t.Errorf("Update: got %v, want ErrClosed", err)
	}
	if got := server.commands(); len(got) > 0 {
		t.Errorf("sent %q", got)
	}
}
