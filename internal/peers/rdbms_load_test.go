package peers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms"
)

// ledger remembers when the values of a counter were acknowledged, so that the age of what a read returns can be told.
type ledger struct {
	mu    sync.Mutex
	acked []time.Time // of value i + 1
}

func (l *ledger) next() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.acked)) + 1
}

func (l *ledger) ack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, time.Now())
}

// age returns how old a value was at a time, by the next one's acknowledgement: 0 if none was acknowledged by then.
func (l *ledger) age(value int64, at time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if value >= int64(len(l.acked)) {
		return 0
	}
	return max(0, at.Sub(l.acked[value]))
}

// load is goroutines that work until the test stops them.
type load struct {
	ctx    context.Context //nolint:containedctx // the load's life
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu       sync.Mutex
	counts   map[string]int
	failures []string
	over     bool
}

func newLoad(t *testing.T) *load {
	t.Helper()
	l := &load{counts: map[string]int{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { l.stop(t) })
	return l
}

// every runs do every so often, in a goroutine of its own.
func (l *load) every(pause time.Duration, do func(context.Context)) {
	l.all.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				do(l.ctx)
			case <-l.ctx.Done():
				return
			}
		}
	})
}

func (l *load) count(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[what]++
}

func (l *load) counted(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[what]
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) < 20 {
		l.failures = append(l.failures, fmt.Sprintf(format, args...))
	}
}

// stop ends the load and reports what went wrong under it.
func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.all.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	l.over = true
	for _, f := range l.failures {
		t.Error(f)
	}
	t.Log("the load:", l.counts)
}

// again waits until something is counted so many times more.
func (l *load) again(t *testing.T, n int, what string) {
	t.Helper()
	before := l.counted(what)
	until(t, fmt.Sprintf("%q happens %d times more", what, n), func() bool { return l.counted(what) >= before+n })
}

// bump writes the counter's next value, by its only writer.
func (l *ledger) bump(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "REPLACE INTO kv (k, v) VALUES ('clock', ?)", l.next())
	if err == nil {
		l.ack()
	}
	return err
}

const clockQuery = "SELECT @@server_id, v FROM kv WHERE k = 'clock'"

// readClock reads the counter under a bound, and reports a value that is too old.
func (l *load) readClock(ctx context.Context, name string, db *sql.DB, clock *ledger, bound time.Duration) error {
	var id string
	var v int64
	began := time.Now()
	if err := db.QueryRowContext(rdbms.WithMaxStaleness(ctx, bound), clockQuery).Scan(&id, &v); err != nil {
		return err
	}
	if age := clock.age(v, began); age > bound {
		l.fail("%s: %s answered what was %v old, not at most %v", name, nameOf(id), age, bound)
	}
	l.count(name + " by " + nameOf(id))
	return nil
}

// isLost reports whether a connection broke under a statement.
func isLost(err error) bool {
	const killed, shutdown = 1927, 1053
	var network net.Error
	return errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, io.EOF) || errors.Is(err, sql.ErrConnDone) || errors.As(err, &network) ||
		refusal(err) == killed || refusal(err) == shutdown
}
