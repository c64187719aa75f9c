package wanobjectcache

import (
	"context"
	"testing"
	"time"
)

// A hit takes no lock: with all of them held by somebody else it goes on.
func TestHitTakesNoLock(t *testing.T) {
	c, err := New(NewMemory(nil), &Options{Freshness: Unreplicated})
	if err != nil {
		t.Fatal(err)
	}
	g, err := NewGroup(c, "g", &GroupOptions[int, int]{TTL: time.Hour, Load: func(context.Context, int) (int, error) { return 1, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Get(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	c.resting.mu.Lock()
	defer c.resting.mu.Unlock()
	hit := make(chan error, 1)
	go func() {
		_, err := g.Get(t.Context(), 1)
		hit <- err
	}()
	select {
	case err := <-hit:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a hit waits for a lock")
	}
}
