package chronology_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/chronology/storetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	storetest.TestStore(t, storetest.Harness{New: func(*testing.T) chronology.Store { return chronology.NewMemory(0) }})
}

func keep(t *testing.T, m *chronology.Memory, key string, ttl time.Duration) {
	t.Helper()
	if err := m.Update(t.Context(), key, ttl, func([]byte) ([]byte, error) { return []byte(key), nil }); err != nil {
		t.Fatal(err)
	}
}

// kept are those of the keys that are there, in one string.
func kept(t *testing.T, m *chronology.Memory, keys ...string) string {
	t.Helper()
	var there strings.Builder
	for _, key := range keys {
		_, ok, err := m.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			there.WriteString(key)
		}
	}
	return there.String()
}

func TestMemoryMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := chronology.NewMemory(0)
		keep(t, m, "a", 1500*time.Millisecond)
		keep(t, m, "b", 0)
		keep(t, m, "c", -time.Second)
		time.Sleep(1500*time.Millisecond - 1)
		if got := kept(t, m, "a", "b", "c"); got != "a" {
			t.Errorf("there is %q a nanosecond before the time, want a", got)
		}
		time.Sleep(time.Nanosecond)
		if got := kept(t, m, "a"); got != "" {
			t.Errorf("there is %q at the time", got)
		}
	})
}

// A full store drops what has expired, then what would expire first, and nothing for a key that it has already.
func TestMemoryFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := chronology.NewMemory(3)
		keep(t, m, "a", 3*time.Second)
		keep(t, m, "b", time.Second)
		keep(t, m, "c", 4*time.Second)
		keep(t, m, "b", 5*time.Second)
		if got := kept(t, m, "a", "b", "c"); got != "abc" {
			t.Errorf("an Update of what is there: there is %q, want abc", got)
		}
		keep(t, m, "d", 6*time.Second)
		if got := kept(t, m, "a", "b", "c", "d"); got != "bcd" {
			t.Errorf("all live: there is %q, want bcd: a would expire first", got)
		}
		time.Sleep(4500 * time.Millisecond)
		keep(t, m, "e", time.Millisecond)
		if got := kept(t, m, "b", "c", "d", "e"); got != "bde" {
			t.Errorf("c has expired: there is %q, want bde", got)
		}
	})
}

func TestMemoryDefaultSize(t *testing.T) {
	const most = 100_000
	for _, size := range []int{0, -1} {
		m := chronology.NewMemory(size)
		for i := range most + 1 {
			keep(t, m, strconv.Itoa(i), time.Hour+time.Duration(i))
		}
		if got := kept(t, m, "0", "1", strconv.Itoa(most)); got != "1"+strconv.Itoa(most) {
			t.Errorf("after one more than 100,000 there is %q, want all but the first", got)
		}
	}
}

func ExampleNewMemory() {
	ctx, store := context.Background(), chronology.NewMemory(1000)
	for _, wrote := range []string{"first", "second"} {
		err := store.Update(ctx, "client", time.Minute, func(old []byte) ([]byte, error) {
			return fmt.Appendf(old, "%s ", wrote), nil
		})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	value, ok, err := store.Get(ctx, "client")
	fmt.Printf("%q %t %v\n", value, ok, err)
	_, ok, err = store.Get(ctx, "another client")
	fmt.Println(ok, err)
	// Output:
	// "first second " true <nil>
	// false <nil>
}
