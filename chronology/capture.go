package chronology

import (
	"context"
	"sync"
	"time"
)

// capture is what a cluster says of this request's commits.
type capture struct {
	wrote    bool
	position string
	asOf     time.Time
	err      error
}

// news reports whether something was committed since another capture.
func (c capture) news(since capture) bool {
	return c.wrote && (!since.wrote || c.position != since.position || !c.asOf.Equal(since.asOf))
}

// capture asks all clusters at once.
func (q *request) capture(ctx context.Context) []capture {
	ctx, cancel := context.WithTimeout(ctx, q.p.opts.CaptureTimeout)
	defer cancel()
	all := make([]capture, len(q.p.dbs))
	if len(all) == 1 { // the usual case needs no goroutine
		all[0] = q.captureOne(ctx, 0)
	} else {
		q.captureEach(ctx, all)
	}
	return all
}

func (q *request) captureEach(ctx context.Context, all []capture) {
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() { all[i] = q.captureOne(ctx, i) })
	}
	asked.Wait()
}

func (q *request) captureOne(ctx context.Context, i int) (c capture) {
	c.wrote, c.position, c.asOf, c.err = q.p.dbs[i].Captured(ctx)
	return c
}

// writes are what was written since an earlier capture. What is of no use is told as a hole.
func (q *request) writes(now, before []capture, marks, marksBefore []time.Time) (written []entry) {
	at := q.p.now()
	for i, d := range q.p.dbs {
		e := entry{cluster: d.name, wrote: true}
		var earlier capture
		if before != nil {
			earlier = before[i]
		}
		if c := now[i]; c.news(earlier) {
			e.touch = at
			switch {
			case c.err != nil:
				q.p.hole(q, HoleCapture, d.name, c.err)
			case len(c.position) > maxPosition:
				q.p.hole(q, HoleNoRoom, d.name, nil)
			case c.position != "":
				e.position, e.asOf = c.position, c.asOf
				if latest := c.asOf.Add(touchSlack); at.After(latest) {
					e.touch = latest // the answer is late: the position includes what was written all the same
				}
			}
		}
		if marks != nil && (marksBefore == nil || marks[i].After(marksBefore[i])) && !marks[i].IsZero() {
			e = merge(d.Merge, e, entry{cluster: d.name, touch: marks[i], wrote: true})
		}
		if !e.touch.IsZero() {
			written = append(written, e)
		}
	}
	return written
}
