package peers

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// replica is a database that loaders read: all of its rows are old, and are changed on the primary at the same time. It
// tells the loads how far it is behind; libraries that cannot be told do not hear it.
type replica struct {
	gate  chan struct{}  // loads return when it is closed
	began sync.WaitGroup // done by the loads that have read before that

	mu      sync.Mutex
	changed time.Time // on the primary
	shows   bool      // the replica shows it
}

func newReplica() *replica { return &replica{gate: make(chan struct{})} }

const oldRow, newRow = "old", "new"

func (r *replica) change() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = time.Now()
}

func (r *replica) catchUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shows = true
}

func (r *replica) read() (row string, lag time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.shows:
		return newRow, 0
	case r.changed.IsZero():
		return oldRow, 0
	}
	return oldRow, time.Since(r.changed)
}

func (r *replica) database() database {
	return database{one: func(ctx context.Context, _ string) ([]byte, error) {
		row, lag := r.read()
		wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: lag})
		select {
		case <-r.gate:
			return []byte(row), nil
		default:
		}
		r.began.Done()
		<-r.gate
		return []byte(row), nil
	}}
}

// readAll returns how many of the ids are served as they were before the change.
func readAll(t *testing.T, from library, ids []string) (old int) {
	t.Helper()
	for _, id := range ids {
		v, err := from.get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if string(v) == oldRow {
			old++
		}
	}
	return old
}

// race is a cache after an invalidation that raced with loads.
type race struct {
	library

	ids       []string
	old, late int // how many of them are still served as they were: at once, and later
}

// races: how many of 100 rows are served as they were although they were invalidated when they changed. Once that came
// during a load that had read the old row; once the load came after it, from a replica that was behind. When they are read
// for the first time, that is over and the replica shows the change; the second time ours refuses nothing any more, so that
// what is served then stays. To set the new value, instead of invalidating, would help that process alone: nobody does.
func (c *cacheComparison) races(t *testing.T) {
	t.Helper()
	var during, before []*race
	for _, m := range c.makers {
		during = append(during, invalidatedDuringLoad(t, m))
		before = append(before, invalidatedBeforeLoad(t, m))
	}
	for _, r := range slices.Concat(during, before) { // ours first: the others are read as late
		r.again(t)
	}
	const later, of = "the same 11 s later, of a TTL of 1 h", " of 100"
	old, late := counts(during)
	c.add("row changed and invalidated while a slow load has read the old one, which then ends: serves the old", old, of)
	c.add(later, late, of)
	c.must(t, "served as before an invalidation during a load", old, 0)
	c.must(t, "the same later", late, 0)
	old, late = counts(before)
	c.add("row changed and invalidated, then loaded from a replica that is behind, and catches up: serves the old", old, of)
	c.add(later, late, of)
	c.must(t, "served later as a replica had shown it that was behind", late, 0)
}

func counts(races []*race) (old, late []int) {
	for _, r := range races {
		old, late = append(old, r.old), append(late, r.late)
	}
	return old, late
}

func invalidatedDuringLoad(t *testing.T, m maker) *race {
	t.Helper()
	db := newReplica()
	a, _ := m.make(t, db.database())
	r := &race{library: a, ids: names("during", 100)}
	db.began.Add(len(r.ids))
	var loading sync.WaitGroup
	for _, id := range r.ids {
		loading.Go(func() {
			if _, err := r.get(t.Context(), id); err != nil {
				t.Error(err)
			}
		})
	}
	db.began.Wait()
	db.change()
	db.catchUp()
	r.invalidateAll(t)
	close(db.gate)
	loading.Wait()
	r.old = readAll(t, r.library, r.ids)
	return r
}

func invalidatedBeforeLoad(t *testing.T, m maker) *race {
	t.Helper()
	db := newReplica()
	close(db.gate)
	a, _ := m.make(t, db.database())
	r := &race{library: a, ids: names("before", 100)}
	if n := readAll(t, r.library, r.ids); n != len(r.ids) {
		t.Fatalf("%d old rows before the change", n)
	}
	db.change()
	r.invalidateAll(t)
	if n := readAll(t, r.library, r.ids); n != len(r.ids) {
		t.Fatalf("%d old rows while the replica is behind", n)
	}
	db.catchUp()
	r.old = readAll(t, r.library, r.ids)
	return r
}

func (r *race) invalidateAll(t *testing.T) {
	t.Helper()
	for _, id := range r.ids {
		if err := r.invalidate(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

// again reads when the cache refuses nothing any more.
func (r *race) again(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, id := range r.ids {
		for r.refuses != nil && r.refuses(ctx, id) {
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.late = readAll(t, r.library, r.ids)
}
