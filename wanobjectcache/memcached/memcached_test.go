package memcached

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/mcclient"
	"github.com/multidc/multidc/wanobjectcache"
)

// patience is for what must happen on however busy a machine.
const patience = 20 * time.Second

// scripted is a server on the other end of a pipe, which answers each command as a test says.
type scripted struct {
	answer  func(command string) string // "" = not at all
	dials   atomic.Int32
	mu      sync.Mutex
	heard   []string
	running sync.WaitGroup
}

func script(t *testing.T, o Options, answer func(command string) string) (*Store, *scripted) {
	t.Helper()
	s := &scripted{answer: answer}
	o.Dial = s.dial
	o.Timeout, o.MultiTimeout = orPatience(o.Timeout), orPatience(o.MultiTimeout)
	store, err := New(map[string]string{"mc1": "10.0.0.1:11211"}, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		store.Close()
		s.running.Wait()
	})
	return store, s
}

func orPatience(timeout time.Duration) time.Duration {
	if timeout == 0 {
		return patience
	}
	return timeout
}

func (s *scripted) dial(context.Context, string, string) (net.Conn, error) {
	s.dials.Add(1)
	client, server := net.Pipe()
	s.running.Go(func() {
		defer server.Close()
		in := bufio.NewReader(server)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSpace(line)
			if words := strings.Fields(line); words[0] != "gets" {
				size, err := strconv.Atoi(words[4])
				if err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, in, int64(size)+2); err != nil {
					return
				}
			}
			s.mu.Lock()
			s.heard = append(s.heard, line)
			s.mu.Unlock()
			if _, err := io.WriteString(server, s.answer(line)); err != nil {
				return
			}
		}
	})
	return client, nil
}

// last is the command that came last.
func (s *scripted) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heard) == 0 {
		return ""
	}
	return s.heard[len(s.heard)-1]
}

func stored(string) string { return "STORED\r\n" }

func token(id uint64) wanobjectcache.StoreItem {
	return wanobjectcache.StoreItem{Value: []byte("x"), Token: &mcclient.Item{CasID: id}}
}

func TestNewRefuses(t *testing.T) {
	good := map[string]string{"mc1": "10.0.0.1:11211"}
	for want, o := range map[string]*Options{
		"Options.MaxValue": {MaxValue: -1},
		"Options.Timeout":  {Timeout: -1},
	} {
		if _, err := New(good, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %s", err, want)
		}
	}
	if _, err := New(map[string]string{"mc1": "nowhere"}, nil); err == nil || !strings.Contains(err.Error(), "mc1") {
		t.Errorf("got %v, want an error with the server's name", err)
	}
}

// What is sent: the flags, and the time to live in memcached's words.
func TestOnTheWire(t *testing.T) {
	store, server := script(t, Options{}, stored)
	item := wanobjectcache.StoreItem{Value: []byte("text"), Flags: 0x57430102}
	month := func() int64 { return time.Now().Unix() + 31*86400 }
	for want, write := range map[string]func() error{
		"set a|#|v 1464008962 11 4":     func() error { return store.Set(t.Context(), "a|#|v", item, 11*time.Second) },
		"add b|#|v 1464008962 1 4":      func() error { return store.Add(t.Context(), "b|#|v", item, 100*time.Millisecond) },
		"add c|#|v 1464008962 0 4":      func() error { return store.Add(t.Context(), "c|#|v", item, 0) },
		"set d|#|v 1464008962 0 4":      func() error { return store.Set(t.Context(), "d|#|v", item, wanobjectcache.Indefinite) },
		"cas e|#|m 0 -1 1 12345":        func() error { return store.CAS(t.Context(), "e|#|m", token(12345), -time.Second) },
		"cas f|#|v 0 3 1 1844674407370": func() error { return store.CAS(t.Context(), "f|#|v", token(1844674407370), 2001*time.Millisecond) },
	} {
		if err := write(); err != nil || server.last() != want {
			t.Errorf("sent %q, %v, want %q", server.last(), err, want)
		}
	}
	before := month()
	if err := store.Set(t.Context(), "a|#|v", item, 31*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	end, err := strconv.ParseInt(strings.Fields(server.last())[3], 10, 64)
	if after := month() + 1; err != nil || end < before || end > after {
		t.Errorf("31 days are sent as %d, %v, want a time from %d to %d", end, err, before, after)
	}
}

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		answer string
		want   map[string]error
	}{
		{"NOT_STORED\r\n", map[string]error{"add": wanobjectcache.ErrConflict, "cas": wanobjectcache.ErrNotFound}},
		{"EXISTS\r\n", map[string]error{"cas": wanobjectcache.ErrConflict}},
		{"NOT_FOUND\r\n", map[string]error{"cas": wanobjectcache.ErrNotFound}},
		{"SERVER_ERROR out of memory storing object\r\n", map[string]error{
			"add": wanobjectcache.ErrUnknownOutcome, "cas": wanobjectcache.ErrUnknownOutcome, "set": wanobjectcache.ErrUnknownOutcome,
		}},
	} {
		store, _ := script(t, Options{}, func(string) string { return tc.answer })
		for verb, want := range tc.want {
			var err error
			switch verb {
			case "add":
				err = store.Add(t.Context(), "key", token(1), time.Minute)
			case "set":
				err = store.Set(t.Context(), "key", token(1), time.Minute)
			case "cas":
				err = store.CAS(t.Context(), "key", token(1), time.Minute)
			}
			if !errors.Is(err, want) {
				t.Errorf("%s, answered with %q: got %v, want %v", verb, tc.answer, err, want)
			}
		}
	}
}

func TestNoAnswer(t *testing.T) {
	store, _ := script(t, Options{Timeout: 20 * time.Millisecond}, func(string) string { return "" })
	if err := store.Set(t.Context(), "key", token(1), time.Minute); !errors.Is(err, wanobjectcache.ErrUnknownOutcome) {
		t.Errorf("Set: got %v, want ErrUnknownOutcome", err)
	}
	for _, keys := range [][]string{{"key"}, {"key", "another"}} {
		out := []wanobjectcache.StoreItem{{Found: true}, {Found: true}}
		err := store.GetMulti(t.Context(), keys, out)
		if !errors.Is(err, wanobjectcache.ErrUnavailable) || errors.Is(err, wanobjectcache.ErrUnknownOutcome) {
			t.Errorf("GetMulti: got %v, want ErrUnavailable", err)
		}
		for i := range keys {
			if out[i].Found || !errors.Is(out[i].Err, wanobjectcache.ErrUnavailable) {
				t.Errorf("%s: got %+v, want ErrUnavailable", keys[i], out[i])
			}
		}
	}
}

func TestTooLarge(t *testing.T) {
	store, server := script(t, Options{MaxValue: 100}, stored)
	large := token(1)
	large.Value = make([]byte, 98)
	for what, err := range map[string]error{
		"Set": store.Set(t.Context(), "key", large, time.Minute),
		"Add": store.Add(t.Context(), "key", large, time.Minute),
		"CAS": store.CAS(t.Context(), "key", large, time.Minute),
	} {
		if !errors.Is(err, wanobjectcache.ErrTooLarge) || !strings.Contains(err.Error(), "101 bytes") {
			t.Errorf("%s: got %v, want ErrTooLarge", what, err)
		}
	}
	if server.dials.Load() > 0 {
		t.Error("something was sent")
	}
	large.Value = large.Value[:97]
	if err := store.Set(t.Context(), "key", large, time.Minute); err != nil {
		t.Errorf("100 bytes with the key: %v", err)
	}
}

func TestForeignToken(t *testing.T) {
	store, server := script(t, Options{}, stored)
	for _, foreign := range []any{nil, uint64(1), "1"} {
		if err := store.CAS(t.Context(), "key", wanobjectcache.StoreItem{Token: foreign}, time.Minute); err == nil {
			t.Errorf("CAS with the token %v: got nil", foreign)
		}
	}
	if server.dials.Load() > 0 {
		t.Error("something was sent")
	}
}

func TestClosed(t *testing.T) {
	store, _ := script(t, Options{}, stored)
	store.Close()
	if err := store.Set(t.Context(), "key", token(1), 0); !errors.Is(err, wanobjectcache.ErrClosed) {
		t.Errorf("Set: got %v, want ErrClosed", err)
	}
	for _, keys := range [][]string{{"key"}, {"key", "another"}} {
		if err := store.GetMulti(t.Context(), keys, make([]wanobjectcache.StoreItem, 2)); !errors.Is(err, wanobjectcache.ErrClosed) {
			t.Errorf("GetMulti of %d: got %v, want ErrClosed", len(keys), err)
		}
	}
}

// What belongs to one value lies on one server, so that one read gets all of it.
func TestSistersShareAServer(t *testing.T) {
	var mu sync.Mutex
	where := map[string]map[string]bool{}
	servers := map[string]string{}
	for i := range 5 {
		servers[fmt.Sprint("mc", i)] = fmt.Sprintf("10.0.0.%d:11211", i)
	}
	var now string
	store, err := New(servers, &Options{Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		where[now][addr] = true
		return nil, errors.New("noted")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	all := map[string]bool{}
	for i := range 50 {
		now = fmt.Sprint("WANCache:default:user:", i)
		where[now] = map[string]bool{}
		for _, kind := range []string{"v", "t", "m", "i"} {
			_ = store.Set(t.Context(), now+"|#|"+kind, wanobjectcache.StoreItem{}, 0)
		}
		if len(where[now]) != 1 {
			t.Errorf("the keys of %s are on %v", now, where[now])
		}
		for addr := range where[now] {
			all[addr] = true
		}
	}
	if len(all) != len(servers) {
		t.Errorf("only %v are used", all)
	}
}
