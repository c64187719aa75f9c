package switchover_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

func share(n int) func(*switchover.Doc) {
	return func(d *switchover.Doc) { d.Rollout = &switchover.Rollout{Default: &switchover.Rule{Share: n}} }
}

func TestSlowSubscriber(t *testing.T) { // SXm
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		s := newState(t, m, nil)
		refresh(t, s)
		var slowSaw, fastSaw []int
		var chain []switchover.Doc
		var inside atomic.Int32
		s.OnChange(func(old, now switchover.Doc) {
			if inside.Add(1) != 1 {
				t.Error("called concurrently with itself")
			}
			chain = append(chain, old, now)
			slowSaw = append(slowSaw, shareOf(now))
			time.Sleep(30 * time.Second)
			inside.Add(-1)
		})
		s.OnChange(func(_, now switchover.Doc) { fastSaw = append(fastSaw, shareOf(now)) })
		stop := run(t, s)
		synctest.Wait()
		for i := range 100 {
			update(t, s, share(i+1))
			synctest.Wait()
			if fastSaw[len(fastSaw)-1] != i+1 {
				t.Fatalf("after change %d the fast one has seen %v", i+1, fastSaw)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		stop()
		if len(fastSaw) != 101 || fastSaw[0] != -1 {
			t.Errorf("the fast one was told %d times, first of %d; want the loaded document and 100 changes", len(fastSaw), fastSaw[0])
		}
		if n := len(slowSaw); n < 4 || n > 6 || slowSaw[0] != -1 || slowSaw[n-1] != 100 {
			t.Errorf("the slow one saw %v, want a few in order, the last last", slowSaw)
		}
		if chain[0].Primary != "" {
			t.Errorf("first old document: %+v, want a zero one", chain[0])
		}
		for i := 2; i < len(chain); i += 2 {
			if shareOf(chain[i]) != shareOf(chain[i-1]) {
				t.Errorf("old is %d, told before was %d", shareOf(chain[i]), shareOf(chain[i-1]))
			}
		}
	})
}

func shareOf(d switchover.Doc) int {
	if d.Rollout == nil {
		return -1
	}
	return d.Rollout.Default.Share
}

func TestSubscribersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, switchover.NewMemory(twoDCs()), nil)
		var early, late []int
		stopEarly := s.OnChange(func(_, now switchover.Doc) { early = append(early, shareOf(now)) })
		refresh(t, s)
		synctest.Wait()
		if len(early) != 0 {
			t.Error("called before Run")
		}
		stop := run(t, s)
		synctest.Wait()
		s.OnChange(func(_, now switchover.Doc) { late = append(late, shareOf(now)) })
		update(t, s, share(1))
		synctest.Wait()
		stopEarly()
		stopEarly()
		update(t, s, share(2))
		synctest.Wait()
		stop()
		update(t, s, share(3))
		synctest.Wait()
		stop = run(t, s) // what was missed in between is told, what was told is not
		synctest.Wait()
		stop()
		if want := []int{-1, 1}; !equal(early, want) {
			t.Errorf("the one who left saw %v, want %v", early, want)
		}
		if late[0] == -1 {
			late = late[1:] // it may have seen the document as loaded
		}
		if want := []int{1, 2, 3}; !equal(late, want) {
			t.Errorf("the one who came saw %v, want %v", late, want)
		}
	})
}

func equal(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestSecondRunIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, switchover.NewMemory(twoDCs()), nil)
		stop := run(t, s)
		synctest.Wait()
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("a second Run: %v", err)
		}
		stop()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Run(ctx); err != nil {
			t.Error("Run after Run:", err)
		}
	})
}

// stamped notes when it was read.
type stamped struct {
	switchover.Store

	mu    sync.Mutex
	reads []time.Time
}

func (s *stamped) Load(ctx context.Context) ([]byte, string, error) {
	s.mu.Lock()
	s.reads = append(s.reads, time.Now())
	s.mu.Unlock()
	return s.Store.Load(ctx)
}

func (s *stamped) gaps() (gaps []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < len(s.reads); i++ {
		gaps = append(gaps, s.reads[i].Sub(s.reads[i-1]))
	}
	return gaps
}

func TestPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		store := &stamped{Store: m}
		s := newState(t, store, nil)
		stop := run(t, s)
		time.Sleep(10 * time.Minute)
		m.Fail(errDown)
		good := len(store.gaps())
		time.Sleep(time.Minute)
		stop()
		seen := map[time.Duration]bool{}
		for _, gap := range store.gaps()[:good] {
			seen[gap] = true
			if gap < 9*time.Second || gap > 10*time.Second {
				t.Errorf("%v between two reads", gap)
			}
		}
		if len(seen) < good/2 {
			t.Errorf("%d reads have %d distances: processes would come all at once", good, len(seen))
		}
		if n := len(store.gaps()) - good; n < 9 || n > 15 {
			t.Errorf("%d reads in a minute of failures, want them soon at first and then seldom", n)
		}
	})
}

// watched passes the memory's watch on.
type watched struct {
	*stamped

	memory *switchover.Memory
	opened atomic.Int32
}

func (w *watched) Watch(ctx context.Context, rev string) (<-chan struct{}, error) {
	w.opened.Add(1)
	return w.memory.Watch(ctx, rev)
}

func TestHintsAreReadAtOnceButNotTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		store := &watched{stamped: &stamped{Store: m}, memory: m}
		s, writer := newState(t, store, nil), newState(t, m, nil)
		stop := run(t, s)
		time.Sleep(5 * time.Second)
		update(t, writer, share(1))
		synctest.Wait()
		if doc, _, _ := s.Current(); shareOf(doc) != 1 {
			t.Error("a hint was not followed at once")
		}
		before := len(store.gaps())
		for i := range 100 { // a change every 5 ms for half a second
			update(t, writer, share(i+2))
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(hundred)
		if doc, _, _ := s.Current(); shareOf(doc) != 101 {
			t.Errorf("has seen %d of 101", shareOf(doc))
		}
		stop()
		for _, gap := range store.gaps()[before+1:] {
			if gap < hundred && gap > 0 {
				t.Errorf("%v between two reads", gap)
			}
		}
		if n := len(store.gaps()) - before; n < 5 || n > 8 {
			t.Errorf("%d reads for 100 hints in 500 ms", n)
		}
	})
}

const hundred = 100 * time.Millisecond

// A change is seen soon after a watch was lost, and although the first read after its hint failed.
func TestLostWatchIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		store := &watched{stamped: &stamped{Store: m}, memory: m}
		s := newState(t, store, nil)
		run(t, s)
		time.Sleep(time.Minute)
		m.Fail(errDown) // ends the watch
		time.Sleep(100 * time.Millisecond)
		m.Fail(nil)
		update(t, newState(t, m, nil), share(7))
		time.Sleep(2 * time.Second)
		if doc, _, _ := s.Current(); shareOf(doc) != 7 || store.opened.Load() < 2 {
			t.Errorf("2 s after the store came back: share %d, %d watches", shareOf(doc), store.opened.Load())
		}
	})
}

// A hint that comes during a read may be younger than what the read finds.
func TestHintDuringAReadIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		reads := &slow{Store: m, take: 1500 * time.Millisecond}
		store := &watched{stamped: &stamped{Store: reads}, memory: m}
		s := newState(t, store, nil)
		run(t, s)
		time.Sleep(5 * time.Second)
		done := make(chan error)
		go func() { done <- s.Refresh(t.Context()) }() // sees the old document, and takes long to say so
		synctest.Wait()
		update(t, newState(t, m, nil), share(7))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if doc, _, _ := s.Current(); shareOf(doc) != -1 {
			t.Fatal("the read under way was to see the old document")
		}
		time.Sleep(1500*time.Millisecond + 1)
		if doc, _, _ := s.Current(); shareOf(doc) != 7 {
			t.Error("the hint was taken for answered by a read that began before it")
		}
	})
}

func TestRunEndsWithItsContextWhateverTheStoreDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, &stuck{Store: switchover.NewMemory(twoDCs())}, nil)
		stop := run(t, s)
		synctest.Wait()
		start := time.Now()
		stop()
		if took := time.Since(start); took > 0 {
			t.Errorf("Run returned %v after its context", took)
		}
	})
}

func TestOnChangedTellsBothDocuments(t *testing.T) {
	var told []switchover.ChangeInfo
	m := switchover.NewMemory(twoDCs())
	s := newState(t, m, &switchover.Options{DC: "a", Events: switchover.Events{
		OnChanged: func(_ context.Context, i switchover.ChangeInfo) { told = append(told, i) },
	}})
	refresh(t, s)
	refresh(t, s)
	update(t, s, func(d *switchover.Doc) { d.Primary = "b" })
	if len(told) != 2 || told[0].Old.Primary != "" || told[0].New.Primary != "a" || told[1].Old.Primary != "a" || told[1].New.Primary != "b" {
		t.Errorf("told %+v", told)
	}
}

func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := twoDCs()
		doc.Sections = map[string]string{"s4": "disk"}
		m := switchover.NewMemory(doc)
		s := newState(t, m, &switchover.Options{DC: "c", By: "ann"})
		refresh(t, s)
		update(t, s, func(d *switchover.Doc) {
			d.ReadOnly = &switchover.Window{Reason: "moving", Until: time.Date(2026, 5, 1, 10, 2, 0, 0, time.UTC), By: "ann"}
		})
		m.Fail(errDown)
		time.Sleep(time.Minute)
		if err := s.Refresh(t.Context()); !errors.Is(err, errDown) {
			t.Fatal(err)
		}
		page := s.Explain(t.Context()).String()
		for _, want := range []string{
			"state of DC c: fenced, writes are refused: read 1m0s ago, at most 30s", "primary a since epoch 1; epoch now 2, written by ann",
			"read-only everywhere: moving, until 2026-05-01T10:02:00.000Z, by ann", "DC b: pooled", "section s4: read-only: disk",
			"the store is down", "Run is not under way", "DC c, this process's own, is not in the document",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q:\n%s", want, page)
			}
		}
	})
}
