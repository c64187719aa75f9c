package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ask asks in the background; granted holds the release once it is granted.
func ask(ctx context.Context, table *Table, exclusive bool) (granted chan func(), refused chan error) {
	granted, refused = make(chan func(), 1), make(chan error, 1)
	go func() {
		release, err := table.Take(ctx, "kafka", exclusive)
		if err != nil {
			refused <- err
			return
		}
		granted <- release
	}()
	return granted, refused
}

func TestSharedTogetherExclusiveAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table Table
		one, _ := ask(t.Context(), &table, false)
		two, _ := ask(t.Context(), &table, false)
		synctest.Wait()
		alone, _ := ask(t.Context(), &table, true)
		synctest.Wait()
		if len(one) != 1 || len(two) != 1 || len(alone) != 0 {
			t.Fatalf("granted: shared %d, %d, exclusive %d", len(one), len(two), len(alone))
		}
		release := <-one
		release()
		release() // giving back twice is giving back once
		synctest.Wait()
		if len(alone) != 0 {
			t.Fatal("exclusive beside a shared lease")
		}
		(<-two)()
		synctest.Wait()
		if len(alone) != 1 {
			t.Fatal("the exclusive lease was not granted")
		}
	})
}

func TestNobodyOvertakesAWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table Table
		first, _ := ask(t.Context(), &table, false)
		synctest.Wait()
		writer, _ := ask(t.Context(), &table, true)
		synctest.Wait()
		late, _ := ask(t.Context(), &table, false)
		synctest.Wait()
		if len(late) != 0 {
			t.Fatal("a reader overtook a waiting writer")
		}
		(<-first)()
		synctest.Wait()
		if len(writer) != 1 || len(late) != 0 {
			t.Fatalf("granted: writer %d, late reader %d", len(writer), len(late))
		}
		(<-writer)()
		synctest.Wait()
		if len(late) != 1 {
			t.Fatal("the reader behind the writer starves")
		}
	})
}

func TestAWaiterWhoLeavesHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table Table
		first, _ := ask(t.Context(), &table, false)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		_, refused := ask(ctx, &table, true)
		synctest.Wait()
		late, _ := ask(t.Context(), &table, false)
		cancel()
		synctest.Wait()
		if err := <-refused; !errors.Is(err, context.Canceled) {
			t.Fatalf("the waiter who left got %v", err)
		}
		if len(first) != 1 || len(late) != 1 {
			t.Fatal("the reader behind one who left still waits")
		}
	})
}
