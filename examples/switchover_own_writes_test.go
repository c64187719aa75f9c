package examples

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/rdbms"
)

// Case Xi, GTID: the primary moves from a to b after the write, and what the author requires is required still: of a
// replica that follows the new primary now.
func TestOwnWriteOutlivesASwitchoverByGTID(t *testing.T) {
	for mode, o := range modes() {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o.Wait = 5 * time.Second
				w := newSwitched(t, nil, o, 3*time.Second)
				w.write("a", "new")
				began := time.Now()
				w.promote()
				answer := w.read(w.readIn(mode))
				require.Equal(t, "new", answer.text)
				require.True(t, strings.HasPrefix(answer.required, "m1:"), answer.required)
				require.NoError(t, answer.err)
				require.True(t, answer.waited)
				require.Greater(t, time.Since(began), time.Second, "it was there at once: that proves little")
			})
			for policy, want := range outcomes() {
				t.Run(string(policy)+", never reached", func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						o.OnTimeout, o.Wait = policy, time.Second
						w := newSwitched(t, nil, o, time.Hour)
						w.write("a", "new")
						w.promote()
						answer := w.read(w.readIn(mode))
						require.True(t, strings.HasPrefix(answer.required, "m1:"), answer.required)
						want.check(t, answer)
					})
				})
			}
		})
	}
}

// Case Xi, binlog files: a position in the old primary's log says nothing of a replica of the new one. Whatever that has,
// it is not taken for reached, and the policy decides.
func TestBinlogPositionAfterASwitchover(t *testing.T) {
	for mode, o := range modes() {
		for policy, want := range outcomes() {
			t.Run(mode+" "+string(policy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o.OnTimeout, o.Wait = policy, time.Second
					w := newSwitched(t, &binlog{}, o, time.Hour)
					w.write("a", "new")
					w.promote()
					answer := w.read(w.readIn(mode))
					require.True(t, strings.HasPrefix(answer.required, "bl:a1:"), answer.required)
					want.check(t, answer)
				})
			})
		}
		t.Run(mode+" not switched", func(t *testing.T) { // so the engine can wait
			synctest.Test(t, func(t *testing.T) {
				o.OnTimeout, o.Wait = chronology.OnTimeoutError, 5*time.Second
				w := newSwitched(t, &binlog{}, o, 3*time.Second)
				w.write("a", "new")
				answer := w.read(w.readIn(mode))
				require.Equal(t, "new", answer.text)
				require.True(t, answer.waited)
			})
		})
		t.Run(mode+" written again", func(t *testing.T) { // the newer position alone counts, and can be waited for
			synctest.Test(t, func(t *testing.T) {
				o.OnTimeout, o.Wait = chronology.OnTimeoutError, 5*time.Second
				w := newSwitched(t, &binlog{}, o, 3*time.Second)
				w.write(w.readIn(mode), "new")
				w.promote()
				w.write(w.readIn(mode), "newer")
				answer := w.read(w.readIn(mode))
				require.NoError(t, answer.err)
				require.Equal(t, "newer", answer.text)
				require.True(t, strings.HasPrefix(answer.required, "bl:b1:"), answer.required)
				require.True(t, answer.waited)
			})
		})
	}
}

// A job is not told that a position was reached which nobody can compare, though the replica has the row.
func TestResumeAfterASwitchover(t *testing.T) {
	for name, tc := range map[string]struct {
		engine  rdbms.Engine
		reached bool
	}{"GTID": {nil, true}, "binlog": {&binlog{}, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSwitched(t, tc.engine, modes()["token"], time.Second)
				job := w.own["a"].WithToken(t.Context(), "")
				_, err := w.dbs["a"].Primary().ExecContext(job, "REPLACE INTO kv VALUES (?, ?)", "page", "new")
				require.NoError(t, err)
				token, err := w.own["a"].Token(job)
				require.NoError(t, err)
				w.promote()
				ctx, reached, err := w.own["b"].Resume(t.Context(), token, 5*time.Second)
				require.NoError(t, err)
				require.Equal(t, tc.reached, reached)
				var text string
				require.NoError(t, w.dbs["b"].Replica().QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", "page").Scan(&text))
				require.Equal(t, "new", text, "by the replica or by the primary")
			})
		})
	}
}
