package examples

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/rdbms"
)

// The answer begins two seconds after the commit, and after a read that let the position be captured: a replica that has
// reached it is not lagged, in either mode.
func TestSlowAnswer(t *testing.T) {
	for mode, o := range modes() {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o.Wait = 5 * time.Second
				w := newSwitched(t, nil, o, 1900*time.Millisecond)
				w.ask("a", http.MethodPost, func(ctx context.Context) {
					_, err := w.dbs["a"].Primary().ExecContext(ctx, "REPLACE INTO kv VALUES (?, ?)", "page", "new")
					require.NoError(t, err)
					var text string
					ctx = rdbms.WithOnTimeout(ctx, rdbms.OnTimeoutPrimary, -1)
					require.NoError(t, w.dbs["a"].Replica().QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", "page").Scan(&text))
					time.Sleep(2 * time.Second)
				})
				answer := w.read(w.readIn(mode))
				require.NoError(t, answer.err)
				require.Equal(t, "new", answer.text)
				require.False(t, answer.lagged, "%+v", answer)
			})
		})
	}
}
