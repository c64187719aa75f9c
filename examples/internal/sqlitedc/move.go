package sqlitedc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// roles says which DC's database takes the writes.
type roles struct {
	mu                 sync.RWMutex // held for reading while a commit is under way, so that a move waits for it
	primary, secondary string
	moving             bool // nobody takes writes
}

func (r *roles) now() (primary, secondary string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.primary, r.secondary
}

// mayWrite says why a DC's database takes no writes.
func (r *roles) mayWrite(dc string) error {
	done, err := r.committing(dc)
	done()
	return err
}

// committing is mayWrite for a commit: until done is called the roles stay as they are.
func (r *roles) committing(dc string) (done func(), err error) {
	r.mu.RLock()
	switch {
	case dc != r.primary:
		err = fmt.Errorf("%w: DC %s is not the primary: write to the database of DC %s", ErrReadOnly, dc, r.primary)
	case r.moving:
		err = fmt.Errorf("%w: the primary moves from DC %s to DC %s: try again in a moment", ErrReadOnly, r.primary, r.secondary)
	default:
		return r.mu.RUnlock, nil
	}
	r.mu.RUnlock()
	return func() {}, err
}

func (r *roles) setMoving(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moving = on
}

func (r *roles) swap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.primary, r.secondary = r.secondary, r.primary
}

// followTheNewer makes the database the primary that has more, at the start.
func (c *Cluster) followTheNewer(ctx context.Context) error {
	named, err := readPosition(ctx, c.files[c.roles.primary])
	if err != nil {
		return err
	}
	other, err := readPosition(ctx, c.files[c.roles.secondary])
	if err == nil && other > named {
		c.roles.swap()
	}
	return err
}

// Primary is the DC whose database takes the writes.
func (c *Cluster) Primary() string {
	primary, _ := c.roles.now()
	return primary
}

// takeTurn waits until nobody else replays.
func (c *Cluster) takeTurn(ctx context.Context) (done func(), err error) {
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// SetPrimary moves the primary to a DC. From then on nobody takes writes, and a transaction that has not committed
// fails; once the DC's database has all statements of the other's it takes them, and the replay turns round. SetPrimary
// returns when that is so. If ctx ends before, all is as it was, and the error says what was missing. It replays by
// itself: Run need not be under way.
func (c *Cluster) SetPrimary(ctx context.Context, dc string) error {
	if dc != c.dcs[0] && dc != c.dcs[1] {
		return fmt.Errorf("sqlitedc: there is no DC %q: the DCs are %s and %s", dc, c.dcs[0], c.dcs[1])
	}
	done, err := c.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer done()
	if dc == c.Primary() {
		return nil
	}
	c.roles.setMoving(true)
	defer c.roles.setMoving(false)
	r := replay{Cluster: c}
	for {
		missing, wait, err := r.move(ctx)
		switch {
		case err == nil && missing == 0:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("sqlitedc: DC %s does not take over: it lacks %d statements of DC %s: %w", dc, missing, r.primary, context.Cause(ctx))
		case err != nil && !errors.Is(err, ErrUnavailable) && !mayPass(err):
			return err
		}
		c.sleep(ctx, wait)
	}
}

// move replays what is due, and changes the roles if nothing is missing and the link is there. Nobody commits meanwhile.
func (r *replay) move(ctx context.Context) (missing int64, wait time.Duration, err error) {
	if wait, err = r.round(ctx); err != nil {
		return 0, beat, err
	}
	applied, head, err := r.compare(ctx)
	if err != nil || applied < head {
		return head - applied, wait, err
	}
	path, err := r.link.open(r.primary, r.secondary)
	if err != nil {
		return 0, beat, err
	}
	done, err := path.cross()
	defer done()
	if err == nil {
		r.roles.swap()
	}
	return 0, beat, err
}
