package mcclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo has every key but those that begin with "absent", with the key as its value.
func echo(c *session) {
	for command, ok := c.next(); ok; command, ok = c.next() {
		for _, key := range strings.Fields(command)[1:] {
			if !strings.HasPrefix(key, "absent") {
				c.say(value(key, key))
			}
		}
		c.say("END\r\n")
	}
}

func manyKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("key", i)
		if i%3 == 0 {
			keys[i] = fmt.Sprint("absent", i)
		}
	}
	return keys
}

// check demands that every key is in one answer, with what echo says, and returns the names of the servers that failed.
func check(t *testing.T, p *Pool, keys []string, answers []Answer, want error) (failed []string) {
	t.Helper()
	seen := map[int]bool{}
	for _, a := range answers {
		if a.Err != nil {
			if !errors.Is(a.Err, want) || a.Items != nil {
				t.Errorf("%s: got %v, %v, want %v", a.server.name, a.Items, a.Err, want)
			}
			failed = append(failed, a.server.name)
		}
		for n, i := range a.Keys {
			if seen[i] || p.server(keys[i]) != a.server {
				t.Errorf("%s is in the answer of %s, twice is %t", keys[i], a.server.name, seen[i])
			}
			seen[i] = true
			if a.Err != nil {
				continue
			}
			item, there := a.Items[n], !strings.HasPrefix(keys[i], "absent")
			if (item != nil) != there || there && (item.Key != keys[i] || string(item.Value) != keys[i]) {
				t.Errorf("%s: got %v", keys[i], item)
			}
		}
	}
	if len(seen) != len(keys) {
		t.Errorf("%d of %d keys are in the answers", len(seen), len(keys))
	}
	return failed
}

func TestGetMulti(t *testing.T) {
	a, b, c := serve(t, nil, echo), serve(t, nil, echo), serve(t, nil, echo)
	p := open(t, slow(), map[string]string{"a": a.addr(), "b": b.addr(), "c": c.addr()})
	for _, n := range []int{0, 1, 2, 5, 100} {
		check(t, p, manyKeys(n), p.GetMulti(t.Context(), manyKeys(n)), nil)
	}
	for _, s := range []*scripted{a, b, c} {
		if got := len(s.heard()); got < 1 || got > 4 {
			t.Errorf("a server heard %d commands, want at most one for each read", got)
		}
	}
	twice := p.GetMulti(t.Context(), []string{"key1", "key1"})
	if len(twice) != 1 || len(twice[0].Keys) != 2 || twice[0].Items[0] == nil || twice[0].Items[1] == nil {
		t.Errorf("a key twice: got %+v", twice)
	}
}

// The servers are asked side by side, and one that fails costs only its own keys.
func TestGetMultiWithServersThatFail(t *testing.T) {
	a := serve(t, nil, echo)
	p := open(t, slow(), map[string]string{"a": a.addr(), "b": nowhere(t), "c": serve(t, nil, always("ERROR\r\n")).addr()})
	keys := manyKeys(100)
	failed := check(t, p, keys, p.GetMulti(t.Context(), keys), ErrUnavailable)
	if fmt.Sprint(failed) != "[b c]" {
		t.Errorf("%v failed, want b and c", failed)
	}
}

// Each line comes well within Timeout, and each extends it: only MultiTimeout ends that.
func TestGetMultiFromAServerThatDrips(t *testing.T) {
	s := serve(t, nil, drip(5*time.Second))
	o := slow()
	o.MultiTimeout = 100 * time.Millisecond
	p := open(t, o, map[string]string{"a": serve(t, nil, echo).addr(), "b": s.addr()})
	keys := manyKeys(100)
	failed := check(t, p, keys, p.GetMulti(t.Context(), keys), ErrUnavailable)
	if fmt.Sprint(failed) != "[b]" {
		t.Errorf("%v failed, want b", failed)
	}
}

// drip answers one line at a time, for at most so long.
func drip(long time.Duration) func(*session) {
	return func(c *session) {
		command, ok := c.next()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(long); ok && time.Now().Before(end); <-tick.C {
			key := strings.Fields(command)[1]
			if _, err := c.Write([]byte(value(key, key))); err != nil {
				return
			}
		}
		c.say("END\r\n")
	}
}

// Who has gone leaves a request behind. When they have all places the server is not asked any more; when it has recovered,
// it is.
func TestGetMultiOverloaded(t *testing.T) {
	var recovered atomic.Bool
	release := make(chan struct{})
	s := serve(t, nil, func(c *session) {
		if !recovered.Load() {
			if _, ok := c.next(); ok {
				<-release
			}
			c.say("END\r\n")
		}
		echo(c)
	})
	t.Cleanup(func() {
		if !recovered.Load() {
			close(release)
		}
	})
	o := slow()
	o.MaxIdle, o.MultiTimeout = 8, patience/2
	p := open(t, o, map[string]string{"a": serve(t, nil, echo).addr(), "b": s.addr()})
	b, keys := p.servers[1], manyKeys(20)
	for i := range o.MaxIdle {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			soon(t, "the request is there", func() bool { return len(s.heard()) > i })
			cancel()
		}()
		for _, a := range p.GetMulti(ctx, keys) {
			if !errors.Is(a.Err, context.Canceled) || errors.Is(a.Err, ErrOverloaded) {
				t.Fatalf("request %d: got %v, want context.Canceled", i, a.Err)
			}
		}
		soon(t, "it is counted", func() bool { return int(b.outlived.Load()) == i+1 })
	}
	failed := check(t, p, keys, p.GetMulti(t.Context(), keys), ErrOverloaded)
	if fmt.Sprint(failed) != "[b]" || len(s.heard()) != o.MaxIdle {
		t.Errorf("%v failed, after %d requests, want b after %d", failed, len(s.heard()), o.MaxIdle)
	}
	if _, err := p.Get(t.Context(), "absent"); !errors.Is(err, ErrNotFound) && p.server("absent") != b {
		t.Errorf("a key of the other server: %v", err)
	}

	recovered.Store(true)
	close(release)
	soon(t, "the requests end", func() bool { return b.outlived.Load() == 0 })
	check(t, p, keys, p.GetMulti(t.Context(), keys), nil)
}
