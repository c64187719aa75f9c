package chronology

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Token returns what this request requires and has written, until now, as text: for a job, or another service. Call it
// after the commit. Nothing, or a context without a scope: "". It needs Options.Keys, in every mode: ErrNoKeys. A
// position that cannot be read is an error.
func (p *Protector) Token(ctx context.Context) (string, error) {
	if len(p.keys) == 0 {
		return "", ErrNoKeys
	}
	q := p.requestOf(ctx)
	if q == nil {
		return "", nil
	}
	captured := q.capture(ctx)
	for i, c := range captured {
		if c.err != nil {
			return "", fmt.Errorf("chronology: token: cluster %s: %w", p.dbs[i].name, c.err)
		}
	}
	q.mu.Lock()
	marks := append([]time.Time(nil), q.marked...)
	q.mu.Unlock()
	return q.token(ctx, q.writes(captured, nil, marks, nil), p.opts.MaxTokenAge), nil
}

// WithToken returns a scope outside HTTP whose reads include what a token says; they wait for it as those of a request do.
// The token may be empty, and MaxTokenAge old. A bad one is ignored, and told by Events.OnRejected.
func (p *Protector) WithToken(ctx context.Context, token string) context.Context {
	q := p.newRequest(ctx)
	if token != "" {
		q.useToken(token, FromToken, p.opts.MaxTokenAge, how{p.opts.Wait, p.opts.OnTimeout})
	}
	return q
}

// resumePoll is between two looks at what the replicas have reached.
const resumePoll = 50 * time.Millisecond

// Resume is WithToken for jobs: it waits now, and reads that come too early for the replicas go to the primary, within its
// budget. It reports whether some near replica of every cluster has reached what the token says; false after wait is no
// error: put the job back, or run it all the same. A bad token is ErrBadToken. The context can be used in every case.
func (p *Protector) Resume(ctx context.Context, token string, wait time.Duration) (context.Context, bool, error) {
	q := p.newRequest(ctx)
	if token == "" {
		return q, true, nil
	}
	if !q.useToken(token, FromToken, p.opts.MaxTokenAge, how{-1, OnTimeoutPrimary}) {
		if len(p.keys) == 0 {
			return q, false, fmt.Errorf("%w: %w", ErrBadToken, ErrNoKeys)
		}
		return q, false, ErrBadToken
	}
	if q.refused { // then there is nothing to ask for, and nothing was reached
		return q, false, nil
	}
	reached, err := q.awaitReached(wait)
	return q, reached, err
}

func (q *request) awaitReached(wait time.Duration) (bool, error) {
	deadline := time.Now().Add(wait)
	for {
		reached, err := q.reached()
		if err != nil || reached {
			return reached, err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		timer := time.NewTimer(min(resumePoll, left))
		select {
		case <-timer.C:
		case <-q.Done():
			timer.Stop()
			return false, fmt.Errorf("chronology: resume: %w", errors.Join(q.Err(), context.Cause(q)))
		}
	}
}

// reached asks every cluster of which something is required.
func (q *request) reached() (bool, error) {
	for i, e := range q.required {
		d := q.p.dbs[i]
		if e.cluster == "" || d.reacher == nil {
			continue
		}
		ok, err := d.reacher.Reached(q)
		if err != nil {
			return false, fmt.Errorf("chronology: resume: cluster %s: %w", d.name, err)
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}
