package wanobjectcache

import "testing"

// The table of what a replayed purge does, of time 100 with a hold-off that ends at 111.
func TestReplayDecides(t *testing.T) {
	const at, end = 100, 111
	item := func(r record, flags uint32) StoreItem {
		return StoreItem{Found: true, Value: r.append(nil), Flags: flags}
	}
	value := func(asOf micros) StoreItem { return item(record{kind: kindValue, at: asOf}, kindValue.flags()) }
	tomb := func(at micros) StoreItem { return item(record{kind: kindTombstone, at: at}, kindTombstone.flags()) }
	tag := func(at micros) StoreItem { return item(record{kind: kindTag, at: at}, kindTag.flags()) }
	for name, c := range map[string]struct {
		op            PurgeOp
		item          StoreItem
		within, after action
	}{
		"nothing":                      {OpDelete, StoreItem{}, addTombstone, leave},
		"a value from before":          {OpDelete, value(end - 1), replaceByTombstone, takeAway},
		"a value from after":           {OpDelete, value(end), leave, leave},
		"an older tombstone":           {OpDelete, tomb(at - 1), replaceByTombstone, leave},
		"the same tombstone":           {OpDelete, tomb(at), leave, leave},
		"a newer tombstone":            {OpDelete, tomb(at + 1), leave, leave},
		"an unreadable tombstone":      {OpDelete, StoreItem{Found: true, Flags: kindTombstone.flags()}, leave, leave},
		"garbage":                      {OpDelete, StoreItem{Found: true, Flags: kindValue.flags(), Value: []byte("?")}, replaceByTombstone, takeAway},
		"foreign":                      {OpDelete, StoreItem{Found: true, Flags: 7, Value: value(end).Value}, replaceByTombstone, takeAway},
		"a tag that is not there":      {OpTag, StoreItem{}, raise, leave},
		"a tag that was purged before": {OpTag, tag(at - 1), raise, raise},
		"a tag that was purged later":  {OpTag, tag(at + 1), raise, raise},
		"a tag that cannot be read":    {OpTag, StoreItem{Found: true, Flags: kindTag.flags()}, raise, raise},
	} {
		r := replay{op: c.op, at: at, end: end, item: c.item}
		if got := r.decide(end - 1); got != c.within {
			t.Errorf("%s, within the hold-off: %d, want %d", name, got, c.within)
		}
		if got := r.decide(end); got != c.after {
			t.Errorf("%s, after it: %d, want %d", name, got, c.after)
		}
	}
}
