package sqlitedc

import (
	"context"
	"sync"
	"time"
)

// State is what Cluster.State saw.
type State struct {
	Primary string        `json:"primary"`
	Moving  bool          `json:"moving"` // to the other: nobody takes writes
	Lag     time.Duration `json:"lag"`    // the setting
	Cut     bool          `json:"cut"`
	DCs     []DCState     `json:"dcs"` // the primary first
	Err     error         `json:"-"`   // why the last round of the replay failed; nil = it did not
}

// DCState is the state of one DC's database.
type DCState struct {
	DC       string `json:"dc"`
	Position int64  `json:"position"` // number of the last statement it has
	Behind   int64  `json:"behind"`   // statements committed in the primary and not yet here
	// UpTo: everything committed anywhere by then is here. Zero = not known, as after a restart until the replay has
	// caught up with its own first look at the primary.
	UpTo time.Time `json:"upTo"`
}

// State looks at both databases, past the link: it is for people to look at, not for the application.
func (c *Cluster) State(ctx context.Context) (State, error) {
	primary, secondary := c.roles.now()
	s := State{Primary: primary, Moving: c.roles.mayWrite(primary) != nil, Err: c.progress.failure()}
	s.Cut, s.Lag = c.link.state()
	// The replica first: so it never seems to be ahead.
	there, err := readPosition(ctx, c.files[secondary])
	if err != nil {
		return State{}, err
	}
	here, err := readPosition(ctx, c.files[primary])
	if err != nil {
		return State{}, err
	}
	s.DCs = []DCState{
		{DC: primary, Position: here, UpTo: time.Now()},
		{DC: secondary, Position: there, Behind: here - there, UpTo: c.progress.upTo()},
	}
	return s, nil
}

// UpTo is DCState.UpTo without looking at a database. Asked before a read it is safe to say of what was read.
func (c *Cluster) UpTo(dc string) time.Time {
	at, known := time.Now(), c.progress.upTo()
	if primary, _ := c.roles.now(); dc == primary {
		return at
	}
	return known
}

// progress turns what a replay saw into how old the replica's data may be; what it saw holds for both, so it stays true
// when they change their roles. All its times carry the monotonic clock,
// so that a step of the wall clock makes nothing look fresher than it is.
type progress struct {
	mu    sync.Mutex
	looks []look // not yet reached, oldest first
	known time.Time
	err   error
}

// look says: at this time the primary's last statement was this.
type look struct {
	at   time.Time
	head int64
}

const maxLooks = 256

// sees adds a look at the primary.
func (p *progress) sees(at time.Time, head int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks = append(p.looks, look{at: at, head: head})
	if len(p.looks) <= maxLooks {
		return
	}
	// A long lag or backlog: every second look is enough. What is dropped only makes the answer more careful.
	kept := p.looks[:0]
	for i, l := range p.looks {
		if i%2 == 0 {
			kept = append(kept, l)
		}
	}
	p.looks = kept
}

// has says that the replica has all statements up to applied. A look counts only when the lag has passed: the
// news that there was nothing to replay takes as long to cross the link as a statement does.
func (p *progress) has(applied int64, lag time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.looks) > 0 && p.looks[0].head <= applied && time.Since(p.looks[0].at) >= lag {
		p.known = p.looks[0].at
		p.looks = p.looks[1:]
	}
	p.err = nil
}

// failed notes why a round failed; what was known stays known and gets older.
func (p *progress) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *progress) upTo() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known
}

func (p *progress) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
