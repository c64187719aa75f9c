package switchover_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// interfered calls before each write what another process does at that moment, and then the answer is as told.
type interfered struct {
	*switchover.Memory

	before func(n int)
	answer func(n int, rev string, err error) (string, error)
	n      int
}

func (i *interfered) CompareAndSwap(ctx context.Context, raw []byte, rev string) (string, error) {
	i.n++
	if i.before != nil {
		i.before(i.n)
	}
	rev, err := i.Memory.CompareAndSwap(ctx, raw, rev)
	if i.answer != nil {
		return i.answer(i.n, rev, err)
	}
	return rev, err
}

func TestUpdateCreates(t *testing.T) {
	m := switchover.NewMemory(switchover.Doc{})
	s := newState(t, m, nil)
	if err := s.Refresh(t.Context()); !errors.Is(err, switchover.ErrNotFound) {
		t.Errorf("Refresh of nothing: %v", err)
	}
	if _, err := s.Update(t.Context(), func(d *switchover.Doc) error { d.Primary = "b"; return nil }); !errors.Is(err, switchover.ErrInvalid) {
		t.Errorf("a document without DCs: %v", err)
	}
	doc := update(t, s, func(d *switchover.Doc) { *d = twoDCs() })
	if doc.Epoch != 1 || doc.PrimaryEpoch != 1 || doc.Updated.By != "test" || len(doc.Updated.ID) != 32 || ask(s).primary != "a" {
		t.Errorf("created %+v; the state says %+v", doc, ask(s))
	}
}

func TestUpdateDoesNotCreateWhatVanished(t *testing.T) {
	m := switchover.NewMemory(twoDCs())
	v := &vanishing{Memory: m}
	s := newState(t, v, nil)
	refresh(t, s)
	v.gone = true
	_, err := s.Update(t.Context(), func(d *switchover.Doc) error { *d = twoDCs(); return nil })
	if !errors.Is(err, switchover.ErrNotFound) || !strings.Contains(err.Error(), "epoch 1") {
		t.Errorf("Update = %v", err)
	}
}

type vanishing struct {
	*switchover.Memory

	gone bool
}

func (v *vanishing) Load(ctx context.Context) ([]byte, string, error) {
	if v.gone {
		return nil, "", switchover.ErrNotFound
	}
	return v.Memory.Load(ctx)
}

func TestUpdateRefuses(t *testing.T) {
	m := switchover.NewMemory(twoDCs())
	s := newState(t, m, nil)
	before, _, _ := m.Load(t.Context())
	own := errors.New("the operator changed her mind")
	for name, tc := range map[string]struct {
		change func(*switchover.Doc) error
		is     error
		want   string
	}{
		"the primary unpooled": { // SXq
			func(d *switchover.Doc) error { d.DCs["a"] = switchover.DC{}; return nil },
			switchover.ErrInvalid, `primary "a" is not pooled`,
		},
		"moved to an unpooled DC": {
			func(d *switchover.Doc) error { d.DCs["b"] = switchover.DC{}; d.Primary = "b"; return nil },
			switchover.ErrInvalid, `primary "b" is not pooled`,
		},
		"no reason": {
			func(d *switchover.Doc) error { d.ReadOnly = &switchover.Window{}; return nil },
			switchover.ErrInvalid, "read_only.reason is empty",
		},
		"a document too large": {
			func(d *switchover.Doc) error {
				d.DCs["b"] = switchover.DC{ReadOnly: strings.Repeat("x", 64<<10)}
				return nil
			},
			switchover.ErrInvalid, "more than 65536",
		},
		"not UTF-8": {
			func(d *switchover.Doc) error { d.DCs["b"] = switchover.DC{ReadOnly: "\xff"}; return nil },
			switchover.ErrInvalid, "dcs.b.read_only is not UTF-8",
		},
		"an own error": {func(*switchover.Doc) error { return own }, own, ""},
	} {
		if _, err := s.Update(t.Context(), tc.change); !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if after, _, _ := m.Load(t.Context()); !bytes.Equal(before, after) {
		t.Errorf("a refused change was written: %s", after)
	}
}

func TestUpdateThatChangesNothingWritesNothing(t *testing.T) {
	m := switchover.NewMemory(twoDCs())
	store := &interfered{Memory: m}
	doc := update(t, newState(t, store, nil), func(d *switchover.Doc) { d.Primary, d.Epoch = "a", 99 })
	if store.n != 0 || doc.Epoch != 1 {
		t.Errorf("%d writes, epoch %d", store.n, doc.Epoch)
	}
}

func TestUnknownFieldsSurvive(t *testing.T) { // SXh
	m := switchover.NewMemory(switchover.Doc{})
	const text = `{"v":1,"epoch":1,"primary":"a","primary_epoch":1,` +
		`"dcs":{"a":{"pooled":true,"weight":3},"b":{"pooled":true,"weight":{"x":[1e400]}}},` +
		`"read_only":{"reason":"x","plan":"7"},` +
		`"rollout":{"default":{"share":1,"shadow":true},"hosts":{"x.org":{"share":2,"shadow":false}},"note":"n"},` +
		`"updated":{"tool":"cli"},"plan":{"id":"7"}}`
	if _, err := m.CompareAndSwap(t.Context(), []byte(text), ""); err != nil {
		t.Fatal(err)
	}
	s := newState(t, m, nil)
	for i := range 10 { // what is replaced as a whole keeps them too
		update(t, s, func(d *switchover.Doc) {
			d.DCs["b"] = switchover.DC{Pooled: i%2 == 0}
			d.ReadOnly = &switchover.Window{Reason: strings.Repeat("x", i+1)}
			d.Rollout = &switchover.Rollout{
				Default: &switchover.Rule{Share: i},
				Hosts:   map[string]switchover.Rule{"x.org": {Share: i}, "y.org": {Share: i}},
			}
		})
	}
	raw, _, err := m.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"weight":3`, `"weight":{"x":[1e400]}`, `"plan":"7"`, `"shadow":true`, `"shadow":false`, `"note":"n"`, `"tool":"cli"`, `"plan":{"id":"7"}`,
	} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("%s was lost: %s", want, raw)
		}
	}
}

func TestConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		other := newState(t, m, nil)
		for conflicts, want := range map[int]error{0: nil, 9: nil, 10: switchover.ErrContended} {
			store := &interfered{Memory: m, before: func(n int) {
				if n <= conflicts {
					update(t, other, share(100*conflicts+n))
				}
			}}
			before, _, _ := m.Load(t.Context())
			doc, err := newState(t, store, nil).Update(t.Context(), func(d *switchover.Doc) error {
				d.Sections = map[string]string{"s4": string(before)[:40] + time.Now().String()}
				return nil
			})
			if !errors.Is(err, want) || (err == nil) != (want == nil) || errors.Is(err, switchover.ErrUnknownOutcome) {
				t.Errorf("%d conflicts: %v, want %v", conflicts, err, want)
			}
			if err == nil && conflicts > 0 && shareOf(doc) != 100*conflicts+conflicts {
				t.Errorf("%d conflicts: the other's change was lost: share %d", conflicts, shareOf(doc))
			}
		}
	})
}

func TestUnknownOutcomes(t *testing.T) {
	lose := func(_ int, _ string, _ error) (string, error) { return "", switchover.ErrUnknownOutcome }
	loseFirst := func(n int, rev string, err error) (string, error) {
		if n == 1 {
			return "", switchover.ErrUnknownOutcome
		}
		return rev, err
	}
	move := func(d *switchover.Doc) error { d.Primary = "b"; return nil }
	synctest.Test(t, func(t *testing.T) {
		t.Log("written, the answer lost: found by its id")
		m := switchover.NewMemory(twoDCs())
		s := newState(t, &interfered{Memory: m, answer: loseFirst}, nil)
		if doc, err := s.Update(t.Context(), move); err != nil || doc.Epoch != 2 {
			t.Errorf("epoch %d, %v", doc.Epoch, err)
		}

		t.Log("written, the answer lost, another on top: computed anew on that")
		m = switchover.NewMemory(twoDCs())
		other := newState(t, m, nil)
		calls := 0
		store := &interfered{Memory: m, answer: func(n int, rev string, err error) (string, error) {
			if n == 1 {
				update(t, other, share(5))
			}
			return loseFirst(n, rev, err)
		}}
		doc, err := newState(t, store, nil).Update(t.Context(), func(d *switchover.Doc) error { calls++; return move(d) })
		if err != nil || doc.Primary != "b" || doc.Epoch != 2 || shareOf(doc) != 5 || calls != 2 {
			t.Errorf("%+v after %d calls, %v", doc, calls, err)
		}

		t.Log("not written, the answer lost: written again")
		m = switchover.NewMemory(twoDCs())
		s = newState(t, &unsent{Memory: m, until: 1}, nil)
		if doc, err := s.Update(t.Context(), move); err != nil || doc.Epoch != 2 {
			t.Errorf("epoch %d, %v", doc.Epoch, err)
		}

		t.Log("the store goes away with the answer: said so")
		m = switchover.NewMemory(twoDCs())
		s = newState(t, &interfered{Memory: m, answer: func(n int, rev string, err error) (string, error) {
			m.Fail(errDown)
			return lose(n, rev, err)
		}}, nil)
		if _, err := s.Update(t.Context(), move); !errors.Is(err, switchover.ErrUnknownOutcome) || !errors.Is(err, errDown) {
			t.Errorf("got %v", err)
		}

		t.Log("the caller goes away with the answer: said so")
		m = switchover.NewMemory(twoDCs())
		ctx, cancel := context.WithCancel(t.Context())
		s = newState(t, &interfered{Memory: m, answer: func(n int, rev string, err error) (string, error) {
			cancel()
			return lose(n, rev, err)
		}}, nil)
		if _, err := s.Update(ctx, move); !errors.Is(err, switchover.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}

		t.Log("never an answer, never written: unknown in the end, not contended alone")
		s = newState(t, &unsent{Memory: switchover.NewMemory(twoDCs()), until: 1000}, nil)
		if _, err := s.Update(t.Context(), move); !errors.Is(err, switchover.ErrUnknownOutcome) {
			t.Errorf("got %v", err)
		}
	})
}

// A write that was given up for lost, and tried again, arrives after all: it must not count as somebody else's.
func TestLateWriteIsKnownAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		store := &delayed{Memory: m}
		doc, err := newState(t, store, nil).Update(t.Context(), func(d *switchover.Doc) error {
			if d.Primary == "b" { // a move back, were it called on its own result
				d.Primary = "a"
				return nil
			}
			d.Primary = "b"
			return nil
		})
		if err != nil || doc.Primary != "b" || doc.Epoch != 2 {
			t.Errorf("primary %q, epoch %d, %v", doc.Primary, doc.Epoch, err)
		}
	})
}

// delayed holds the first write back until the second comes.
type delayed struct {
	*switchover.Memory

	first []byte
	rev   string
}

func (d *delayed) CompareAndSwap(ctx context.Context, raw []byte, rev string) (string, error) {
	if d.first == nil {
		d.first, d.rev = raw, rev
		return "", switchover.ErrUnknownOutcome
	}
	if _, err := d.Memory.CompareAndSwap(ctx, d.first, d.rev); err != nil && !errors.Is(err, switchover.ErrConflict) {
		return "", err
	}
	return d.Memory.CompareAndSwap(ctx, raw, rev)
}

// unsent loses the first writes before they reach the store.
type unsent struct {
	*switchover.Memory

	n, until int
}

func (u *unsent) CompareAndSwap(ctx context.Context, raw []byte, rev string) (string, error) {
	if u.n++; u.n <= u.until {
		return "", switchover.ErrUnknownOutcome
	}
	return u.Memory.CompareAndSwap(ctx, raw, rev)
}

// A read that began before the own write must not bring the old document back.
func TestNoReadOvertakesAnOwnWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := switchover.NewMemory(twoDCs())
		s := newState(t, &slow{Store: m, take: time.Second}, nil)
		done := make(chan error, 1)
		update(t, s, func(d *switchover.Doc) {
			go func() { done <- s.Refresh(t.Context()) }() // sees the document as it was, and takes long to say so
			synctest.Wait()
			share(1)(d)
		})
		if err := <-done; err != nil {
			t.Error(err)
		}
		if doc, _, _ := s.Current(); shareOf(doc) != 1 {
			t.Error("the own write is gone from view")
		}
	})
}

func TestReadOnlyStore(t *testing.T) {
	s := newState(t, readOnlyStore{switchover.NewMemory(twoDCs())}, nil)
	if _, err := s.Update(t.Context(), func(d *switchover.Doc) error { d.Primary = "b"; return nil }); !errors.Is(err, switchover.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

type readOnlyStore struct{ *switchover.Memory }

func (readOnlyStore) CompareAndSwap(context.Context, []byte, string) (string, error) {
	return "", switchover.ErrUnsupported
}

func TestStampUsesNow(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 123456789, time.FixedZone("", 7200))
	s := newState(t, switchover.NewMemory(twoDCs()), &switchover.Options{DC: "a", Now: func() time.Time { return at }})
	doc := update(t, s, func(d *switchover.Doc) { d.Primary = "b" })
	if want := at.UTC().Truncate(time.Millisecond); !doc.Updated.At.Equal(want) || doc.Updated.By == "" {
		t.Errorf("stamped %+v, want %v and a host's name", doc.Updated, want)
	}
}
