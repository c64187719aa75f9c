package sqlitedc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/multidc/multidc/internal/backoff"
)

// ErrDiverged says that the two files contradict each other, so that replay cannot go on. The data of both is as
// it was. To go on with the primary's, end the program and put a copy of the primary's file, with its -wal file if there
// is one, in the place of the other's.
var ErrDiverged = errors.New("sqlitedc: the two databases have diverged")

// beat is how often an idle replay looks at the primary, so that the replica's age is known.
const beat = 100 * time.Millisecond

// Run replays until ctx ends, which is no error, or until the databases have diverged. What may pass, such as a full
// disk, is shown by State and tried again. One Run at a time.
func (c *Cluster) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("sqlitedc: Run is running already")
	}
	defer c.running.Store(false)
	retry := backoff.Policy{First: beat, Max: 5 * time.Second, Spread: 0.2}
	failures := 0
	r := replay{Cluster: c}
	for ctx.Err() == nil {
		wait, err := r.roundInTurn(ctx)
		switch {
		case err == nil:
			failures = 0
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrUnavailable): // cut in mid-round; Heal wakes
			wait = beat
		case errors.Is(err, ErrDiverged):
			c.progress.failed(err)
			return err
		default:
			failures++
			c.progress.failed(err)
			wait = retry.Wait(failures)
		}
		c.sleep(ctx, wait)
	}
	return nil
}

func (c *Cluster) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.woken:
	case <-ctx.Done():
	}
}

// replay is one Run, or one move of the primary.
type replay struct {
	*Cluster

	primary, secondary string // of this round
	trimmed            int64  // the log has nothing below
}

// roundInTurn is a round, when no move of the primary is under way.
func (r *replay) roundInTurn(ctx context.Context) (wait time.Duration, err error) {
	done, err := r.takeTurn(ctx)
	if err != nil {
		return 0, err
	}
	defer done()
	return r.round(ctx)
}

// round applies all that is due and says when to look again.
func (r *replay) round(ctx context.Context) (wait time.Duration, err error) {
	r.primary, r.secondary = r.roles.now()
	path, err := r.link.open(r.primary, r.secondary)
	if err != nil {
		return beat, nil //nolint:nilerr // cut: no error, but what is known gets older
	}
	_, lag := r.link.state()
	applied, head, err := r.compare(ctx)
	if err != nil {
		return 0, err
	}
	wait = beat
	for applied < head {
		list, err := readTransaction(ctx, r.files[r.primary], applied+1, head)
		if err != nil {
			return 0, err
		}
		if early := due(list[0].committedAt, lag, time.Now()); early > 0 {
			wait = min(wait, early)
			break
		}
		if err := r.apply(ctx, path, list); err != nil {
			return 0, err
		}
		applied = list[len(list)-1].n
	}
	r.progress.has(applied, lag)
	return wait, r.trim(ctx, applied)
}

// due says how long a transaction still has to wait. One committed in the future tells that the wall clock was set
// back since: how old it is cannot be known, and it goes at once rather than wait for the clock.
func due(committedAt int64, lag time.Duration, now time.Time) time.Duration {
	age := now.Sub(time.Unix(0, committedAt))
	if age < 0 {
		return 0
	}
	return lag - age
}

// compare reads both positions and fails unless the primary has all that the replica has.
func (r *replay) compare(ctx context.Context) (applied, head int64, err error) {
	at := time.Now()
	source, replica := r.files[r.primary], r.files[r.secondary]
	if head, err = readPosition(ctx, source); err != nil {
		return 0, 0, err
	}
	if applied, err = readPosition(ctx, replica); err != nil {
		return 0, 0, err
	}
	if applied > head {
		return 0, 0, fmt.Errorf("%w: %s has %d statements, the primary %s only %d", ErrDiverged, r.secondary, applied, r.primary, head)
	}
	mine, ok, err := readStatement(ctx, replica, applied)
	if err != nil {
		return 0, 0, err
	}
	theirs, has, err := readStatement(ctx, source, applied)
	if err != nil {
		return 0, 0, err
	}
	if ok && has && mine != theirs {
		return 0, 0, fmt.Errorf("%w: statement %d is of %s in %s and of %s in %s, or differs",
			ErrDiverged, applied, mine.origin, r.secondary, theirs.origin, r.primary)
	}
	r.progress.sees(at, head)
	return applied, head, nil
}

// apply commits one transaction's work, its log rows and the new position to the replica, at once.
func (r *replay) apply(ctx context.Context, path path, list []statement) (err error) {
	tx, err := r.files[r.secondary].BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // after a failed Commit there is nothing left to roll back
		}
	}()
	r.step("begun")
	for _, s := range list {
		if err := applyStatement(ctx, tx, s); err != nil {
			return err
		}
		r.step("applied")
	}
	if err := r.advance(ctx, tx, list[0].n-1, list[len(list)-1].n); err != nil {
		return err
	}
	r.step("logged")
	done, err := path.cross()
	defer done()
	if err != nil {
		return err
	}
	err = tx.Commit()
	r.step("committed")
	return err
}

func applyStatement(ctx context.Context, tx *sql.Tx, s statement) error {
	values, err := decodeArgs(s.args)
	if err != nil {
		return fmt.Errorf("%w: statement %d: %w", ErrDiverged, s.n, err)
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v.Value
		if v.Name != "" {
			args[i] = sql.Named(v.Name, v.Value)
		}
	}
	_, err = tx.ExecContext(ctx, s.text, args...)
	if err == nil {
		_, err = tx.ExecContext(ctx, "INSERT INTO multidc_log VALUES (?, ?, ?, ?, ?, ?)",
			s.n, s.tx, s.origin, s.committedAt, s.text, s.args)
	}
	if err == nil || mayPass(err) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: statement %d, which the primary has committed, fails: %w", ErrDiverged, s.n, err)
}

// advance moves the replica's position, and fails if somebody else has moved it.
func (r *replay) advance(ctx context.Context, tx *sql.Tx, from, to int64) error {
	res, err := tx.ExecContext(ctx, "UPDATE multidc_position SET n = ? WHERE n = ?", to, from)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = fmt.Errorf("%w: the position of %s is not %d any more: somebody else has moved it", ErrDiverged, r.secondary, from)
	}
	return err
}

// mayPass tells an error of the machine from one of the data.
func mayPass(err error) bool {
	switch code(err) {
	case codeBusy, codeLocked, codeNoMemory, codeInterrupt, codeIO, codeFull, codeCantOpen:
		return true
	}
	return false
}

// trimEvery is how many statements both logs may keep that nobody needs any more.
const trimEvery = 256

func (r *replay) trim(ctx context.Context, applied int64) error {
	if applied-r.trimmed < trimEvery {
		return nil
	}
	for _, dc := range []string{r.secondary, r.primary} {
		if err := trimLog(ctx, r.files[dc], applied); err != nil {
			return err
		}
		r.step("trimmed")
	}
	r.trimmed = applied
	return nil
}
