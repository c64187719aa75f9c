package storetest

import (
	"bytes"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/multidc/multidc/wanobjectcache"
)

func races() []test {
	return []test{
		{name: "no lost update", run: raceCounter},
		{name: "one add wins", run: raceAdd},
		{name: "no torn value", run: raceTorn},
	}
}

const writers = 64

// compete runs all writers at once, some with a client of their own where there can be several.
func (s *subject) compete(t *testing.T, write func(client *subject, writer int)) {
	t.Helper()
	var all sync.WaitGroup
	for writer := range writers {
		client := s
		if s.h.Caps.Shared && writer%5 == 0 {
			client = &subject{Store: s.h.New(t), h: s.h, prefix: s.prefix}
		}
		all.Go(func() { write(client, writer) })
	}
	all.Wait()
}

// raceCounter: each writer adds one by CAS until it has won.
func raceCounter(t *testing.T, s *subject) {
	key := s.key("counter")
	s.set(t, key, "0")
	s.compete(t, func(client *subject, _ int) {
		for {
			out := make([]wanobjectcache.StoreItem, 1)
			if err := client.GetMulti(t.Context(), []string{key}, out); err != nil {
				t.Errorf("GetMulti: %v", err)
				return
			}
			n, err := strconv.Atoi(string(out[0].Value))
			if err != nil {
				t.Errorf("the counter reads %q", out[0].Value)
				return
			}
			err = client.CAS(t.Context(), key, with(strconv.Itoa(n+1), out[0].Token), life)
			if err == nil {
				return
			}
			if !errors.Is(err, wanobjectcache.ErrConflict) {
				t.Errorf("CAS: %v", err)
				return
			}
		}
	})
	s.expect(t, key, strconv.Itoa(writers))
}

func raceAdd(t *testing.T, s *subject) {
	for round := range 20 {
		key := s.key(strconv.Itoa(round))
		var won atomic.Int64
		s.compete(t, func(client *subject, writer int) {
			switch err := client.Add(t.Context(), key, text(strconv.Itoa(writer)), life); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, wanobjectcache.ErrConflict):
				t.Errorf("Add: %v", err)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("%d of %d Adds at once were told that they stored the item", won.Load(), writers)
		}
	}
}

// raceTorn: half of them write, and half read: a value is the one of some write as a whole, and goes with the flags of
// that write.
func raceTorn(t *testing.T, s *subject) {
	key := s.key("a")
	by := func(writer int) wanobjectcache.StoreItem {
		value := strings.Repeat(string(rune('A'+writer)), 100+100*writer)
		return wanobjectcache.StoreItem{Value: []byte(value), Flags: uint32(writer)}
	}
	must(t, "Set", s.Set(t.Context(), key, by(0), life))
	write := func(client *subject, writer int) bool {
		err := client.Set(t.Context(), key, by(writer), life)
		if err != nil {
			t.Errorf("Set: %v", err)
		}
		return err == nil
	}
	read := func(client *subject, _ int) bool {
		out := make([]wanobjectcache.StoreItem, 1)
		err := client.GetMulti(t.Context(), []string{key}, out)
		got := out[0]
		whole := err == nil && got.Found && got.Flags < writers && bytes.Equal(got.Value, by(int(got.Flags)).Value)
		if !whole {
			t.Errorf("GetMulti: %v, found is %t, with the flags of writer %d and the value %s", err, got.Found, got.Flags, brief(got.Value))
		}
		return whole
	}
	s.compete(t, func(client *subject, writer int) {
		do := write
		if writer%2 == 1 {
			do = read
		}
		for range 50 {
			if !do(client, writer) {
				return
			}
			runtime.Gosched()
		}
	})
}
