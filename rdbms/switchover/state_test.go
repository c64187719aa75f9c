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

var errDown = errors.New("the store is down")

// probe is what a process would do at this moment.
type probe struct {
	primary  string
	err      error
	readOnly string
}

func ask(s *switchover.State) probe {
	dc, _, err := s.Primary(context.Background())
	return probe{dc, err, s.ClusterReason("")()}
}

func TestAnswersBeforeTheFirstLoad(t *testing.T) { // S47
	m := switchover.NewMemory(twoDCs())
	m.Fail(errDown)
	s := newState(t, m, nil)
	if err := s.Refresh(t.Context()); !errors.Is(err, switchover.ErrUnavailable) || !errors.Is(err, errDown) {
		t.Errorf("Refresh = %v, want ErrUnavailable and the cause", err)
	}
	if got := ask(s); got != (probe{"", switchover.ErrUnavailable, "state not loaded"}) {
		t.Errorf("got %+v", got)
	}
	if reason, err := s.ReadOnly(t.Context()); reason != "" || !errors.Is(err, switchover.ErrUnavailable) {
		t.Errorf("ReadOnly = %q, %v", reason, err)
	}
	if _, _, err := s.ReadOnlyFor(t.Context(), "a", "s4"); !errors.Is(err, switchover.ErrUnavailable) {
		t.Errorf("ReadOnlyFor = %v", err)
	}
	_, _, _, overridden := s.Rollout("x.org")
	if _, _, ok := s.Current(); ok || overridden || !s.Pooled("a") || !s.Pooled("nowhere") {
		t.Error("Current, Rollout or Pooled speak of a document that nobody has seen")
	}
	if e := s.Explain(t.Context()); e.Loaded || !strings.Contains(e.String(), "never loaded") || !strings.Contains(e.Error, errDown.Error()) {
		t.Errorf("Explain = %v", e)
	}
}

func TestFence(t *testing.T) { // S46
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		var told []switchover.FenceInfo
		s := newState(t, m, &switchover.Options{DC: "a", Events: switchover.Events{
			OnFenced: func(_ context.Context, i switchover.FenceInfo) { told = append(told, i) },
		}})
		stop := run(t, s)
		synctest.Wait()
		time.Sleep(time.Minute)
		if got := ask(s); got != (probe{"a", nil, ""}) {
			t.Fatalf("with a good store: %+v", got)
		}
		_, age, _ := s.Current()
		m.Fail(errDown)
		change := s.Changed()
		time.Sleep(30*time.Second - age)
		if got := ask(s); got != (probe{"a", nil, ""}) {
			t.Errorf("at MaxStale: %+v", got)
		}
		if isClosed(change) {
			t.Error("Changed closed before the fence tripped")
		}
		since := time.Now().Add(-30 * time.Second).UTC().Format(time.RFC3339)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := ask(s); got != (probe{"a", switchover.ErrStale, "state unknown since " + since}) {
			t.Errorf("past MaxStale: %+v", got)
		}
		if reason, _, err := s.ReadOnlyFor(t.Context(), "b", ""); err != nil || reason == "" || !s.Pooled("b") {
			t.Errorf("fenced: ReadOnlyFor = %q, %v; Pooled(b) = %t", reason, err, s.Pooled("b"))
		}
		if !isClosed(change) {
			t.Error("Changed is still open")
		}
		change = s.Changed()
		m.Fail(nil)
		time.Sleep(10 * time.Second)
		if !isClosed(change) {
			t.Error("Changed is still open though the store came back")
		}
		if got := ask(s); got != (probe{"a", nil, ""}) {
			t.Errorf("after recovery: %+v", got)
		}
		stop()
		if len(told) != 2 || !told[0].Fenced || !errors.Is(told[0].Cause, errDown) || told[0].Age <= 30*time.Second || told[1].Fenced || told[1].Cause != nil {
			t.Errorf("told %+v", told)
		}
	})
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestNoFenceWhenTurnedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, switchover.NewMemory(twoDCs()), &switchover.Options{DC: "a", MaxStale: -1})
		refresh(t, s)
		time.Sleep(1000 * time.Hour)
		if got := ask(s); got != (probe{"a", nil, ""}) {
			t.Errorf("got %+v", got)
		}
	})
}

// slow is a store whose reads take a while, and answer what was there in the beginning or in the end.
type slow struct {
	switchover.Store

	take time.Duration
	late bool
	n    atomic.Int32
}

func (s *slow) Load(ctx context.Context) ([]byte, string, error) {
	s.n.Add(1)
	if s.late {
		time.Sleep(s.take)
		return s.Store.Load(ctx)
	}
	raw, rev, err := s.Store.Load(ctx)
	time.Sleep(s.take)
	return raw, rev, err
}

// The document may have been replaced right after the store looked at it: age counts from the read's start.
func TestAgeCountsFromTheStartOfTheRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, &slow{Store: switchover.NewMemory(twoDCs()), take: 2 * time.Second}, nil)
		refresh(t, s)
		if _, age, _ := s.Current(); age != 2*time.Second {
			t.Errorf("age after a read of 2 s: %v", age)
		}
		time.Sleep(28*time.Second + 1)
		if got := ask(s); !errors.Is(got.err, switchover.ErrStale) {
			t.Errorf("30 s after the read began: %+v", got)
		}
	})
}

// A process that was stopped for longer is fenced when it wakes, before it has read. SXk
func TestSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		s := newState(t, switchover.NewMemory(twoDCs()), &switchover.Options{DC: "a", Events: switchover.Events{
			OnFenced: func(_ context.Context, i switchover.FenceInfo) { told = append(told, i.Fenced) },
		}})
		refresh(t, s)
		change := s.Changed()
		time.Sleep(40 * time.Second) // nothing of this process runs
		if got := ask(s); !errors.Is(got.err, switchover.ErrStale) || got.readOnly == "" {
			t.Errorf("on waking: %+v", got)
		}
		refresh(t, s)
		if got := ask(s); got != (probe{"a", nil, ""}) {
			t.Errorf("after the next read: %+v", got)
		}
		if !isClosed(change) {
			t.Error("Changed is still open")
		}
		if len(told) != 2 || !told[0] || told[1] {
			t.Errorf("told %v, want the fence tripped and cleared", told)
		}
	})
}

// silent is a watch that lives and says nothing.
type silent struct{ switchover.Store }

func (silent) Watch(ctx context.Context, _ string) (<-chan struct{}, error) {
	hints := make(chan struct{})
	context.AfterFunc(ctx, func() { close(hints) })
	return hints, nil
}

func TestSilentWatchIsNoRead(t *testing.T) { // SXi
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		s := newState(t, silent{m}, nil)
		refresh(t, s)
		m.Fail(errDown)
		run(t, s)
		time.Sleep(30 * time.Second)
		if got := ask(s); got.err != nil {
			t.Errorf("at 30 s: %+v", got)
		}
		time.Sleep(time.Millisecond)
		if got := ask(s); !errors.Is(got.err, switchover.ErrStale) {
			t.Errorf("after 30 s: %+v", got)
		}
		// And a watch that missed a change costs one poll, no more.
		m.Fail(nil)
		update(t, newState(t, m, nil), func(d *switchover.Doc) { d.Primary = "b" })
		time.Sleep(10 * time.Second)
		if got := ask(s); got != (probe{"b", nil, ""}) {
			t.Errorf("10 s later: %+v", got)
		}
	})
}

// edit replaces the document with whatever text, as a person with an editor would.
func edit(tb testing.TB, m *switchover.Memory, text string) {
	tb.Helper()
	_, rev, err := m.Load(tb.Context())
	if err == nil {
		_, err = m.CompareAndSwap(tb.Context(), []byte(text), rev)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

const (
	document = `{"v":1,"epoch":42,"primary":"a","primary_epoch":39,"dcs":{"a":{"pooled":true},"b":{"pooled":true}}}`
	lowered  = `{"v":1,"epoch":41,"primary":"b","primary_epoch":41,"dcs":{"a":{"pooled":true},"b":{"pooled":true}}}`
	moved    = `{"v":1,"epoch":42,"primary":"b","primary_epoch":39,"dcs":{"a":{"pooled":true},"b":{"pooled":true}}}`
)

func TestRefusedDocuments(t *testing.T) { // S49, SXw
	for name, tc := range map[string]struct{ text, want string }{
		"corrupt":                          {document[:50], "not JSON"},
		"of another version":               {strings.Replace(document, `"v":1`, `"v":2`, 1), "version 2"},
		"of a lower epoch":                 {lowered, "epoch 41 is below 42"},
		"moved by hand, numbers forgotten": {moved, `needs "epoch":43 and "primary_epoch":43, has 42 and 39`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, tc.text, tc.want) })
		})
	}
}

func refused(t *testing.T, text, want string) {
	t.Helper()
	m := switchover.NewMemory(switchover.Doc{})
	if _, err := m.CompareAndSwap(t.Context(), []byte(document), ""); err != nil {
		t.Fatal(err)
	}
	var told []error
	s := newState(t, m, &switchover.Options{DC: "a", Events: switchover.Events{
		OnRejected: func(_ context.Context, i switchover.RejectInfo) { told = append(told, i.Err) },
	}})
	refresh(t, s)
	time.Sleep(20 * time.Second)
	edit(t, m, text)
	err := s.Refresh(t.Context())
	if !errors.Is(err, switchover.ErrInvalid) || !strings.Contains(err.Error(), want) || len(told) != 1 {
		t.Errorf("Refresh = %v, told %v; want %q", err, told, want)
	}
	if doc, age, _ := s.Current(); doc.Epoch != 42 || doc.Primary != "a" || age != 20*time.Second {
		t.Errorf("held: epoch %d, primary %s, age %v; want the last good one, its age growing on", doc.Epoch, doc.Primary, age)
	}
	time.Sleep(10*time.Second + 1)
	_ = s.Refresh(t.Context())
	if got := ask(s); !errors.Is(got.err, switchover.ErrStale) {
		t.Errorf("a refused document counted as a read: %+v", got)
	}
	edit(t, m, document)
	refresh(t, s)
	if got := ask(s); got != (probe{"a", nil, ""}) {
		t.Errorf("the good one again: %+v", got)
	}
}

func TestCallersOfRefreshJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{Store: switchover.NewMemory(twoDCs()), take: time.Second}
		s := newState(t, store, nil)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := s.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := store.n.Load(); n != 1 {
			t.Errorf("100 callers caused %d reads", n)
		}
	})
}

// stuck answers only when its caller has had enough.
type stuck struct {
	switchover.Store

	n atomic.Int32
}

func (s *stuck) Load(ctx context.Context) ([]byte, string, error) {
	if s.n.Add(1) == 1 {
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	return s.Store.Load(ctx)
}

func TestWhoJoinedIsNotHurtByALeaderWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, &stuck{Store: switchover.NewMemory(twoDCs())}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var leader error
		var wg sync.WaitGroup
		wg.Go(func() { leader = s.Refresh(ctx) })
		synctest.Wait()
		wg.Go(func() {
			if err := s.Refresh(t.Context()); err != nil {
				t.Error("who joined got", err)
			}
		})
		impatient, cancelImpatient := context.WithTimeout(t.Context(), time.Second)
		defer cancelImpatient()
		if err := s.Refresh(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("an impatient caller got", err)
		}
		cancel()
		wg.Wait()
		if !errors.Is(leader, context.Canceled) {
			t.Error("the leader got", leader)
		}
		if e := s.Explain(t.Context()); e.Error != "" {
			t.Error("a caller's own end was taken for a failure of the store:", e.Error)
		}
	})
}

func TestFetchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, &stuck{Store: switchover.NewMemory(twoDCs())}, nil)
		start := time.Now()
		if err := s.Refresh(t.Context()); !errors.Is(err, switchover.ErrUnavailable) || time.Since(start) != 2*time.Second {
			t.Errorf("Refresh = %v after %v", err, time.Since(start))
		}
	})
}
