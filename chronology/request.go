package chronology

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/stickydc"
)

// request is the state of one request, or of a scope outside HTTP. It is the context of what runs in it.
type request struct {
	context.Context //nolint:containedctx // it is one

	p *Protector

	mu       sync.Mutex
	required []entry // of the database with that number; nil as long as nothing is
	sources  []Source
	marked   []time.Time // by MarkWritten, likewise
	refused  bool        // a cluster did not take a position
	wroteAt  time.Time   // when the client wrote last, by what it brought
	sticky   bool        // it brought the sticky cookie
	id       string      // of the client, in the store; "" = not known yet
	seen     uint32      // the index that it brought,
	found    bool        // which the store had

	returned  bool      // the handler has
	complete  bool      // it had at the hook: nothing can have come since
	kept      []capture // what was captured at the hook,
	keptMarks []time.Time
}

type requestKey struct{ p *Protector }

// Value implements context.Context.
func (q *request) Value(key any) any {
	if key == (requestKey{q.p}) {
		return q
	}
	return q.Context.Value(key)
}

func (p *Protector) requestOf(ctx context.Context) *request {
	q, _ := ctx.Value(requestKey{p}).(*request)
	return q
}

// newRequest attaches the clusters.
func (p *Protector) newRequest(ctx context.Context) *request {
	for _, d := range p.dbs {
		ctx = d.Attach(ctx) //nolint:fatcontext // one for each cluster
	}
	return &request{Context: ctx, p: p}
}

// how is how reads wait for what is required.
type how struct {
	wait      time.Duration
	onTimeout TimeoutPolicy
}

// begin requires what the client has brought.
func (q *request) begin(r *http.Request) {
	p := q.p
	normally := how{p.opts.Wait, p.opts.OnTimeout}
	q.sticky = stickydc.Present(r)
	switch p.mode {
	case StoreMode:
		if text, ok := cookie(r, indexCookie); ok {
			q.useTicket(text, normally)
		}
	case TokenMode:
		if text, ok := cookie(r, tokenCookie); ok {
			q.useToken(text, FromCookie, p.opts.Window, normally)
		}
	}
	if text := r.Header.Get(TokenHeader); text != "" && len(p.keys) > 0 { // "" is what Token says of nothing
		q.useToken(text, FromHeader, p.opts.Window, normally)
	}
}

// useTicket requires what the store has of the client.
func (q *request) useTicket(text string, h how) {
	p := q.p
	t, ok := parseTicket(text)
	if !ok {
		p.rejected(q, FromCookie, RejectedForm, "")
		return
	}
	if why := timely(t.issued, p.now().Truncate(time.Second), p.opts.Window); why != "" { // the cookie's time is in seconds, too
		p.rejected(q, FromCookie, why, "")
		return
	}
	q.id, q.seen, q.wroteAt = t.id, t.index, later(q.wroteAt, t.issued)
	v, err := q.readStore(t)
	if err != nil {
		p.hole(q, HoleStoreRead, "", err)
		return
	}
	if q.found = v.index >= t.index; !q.found {
		p.hole(q, HoleIndexBehind, "", nil)
	}
	for _, e := range v.entries {
		if i := p.numberOf(named(e.cluster)); i >= 0 {
			q.require(i, e, FromCookie, h)
		}
	}
}

// indexPause is given to a store whose last write is on its way.
const indexPause = 20 * time.Millisecond

// readStore reads the client's entry, and once more if that is older than the client says.
func (q *request) readStore(t ticket) (v value, err error) {
	for try := range 2 {
		if try > 0 {
			time.Sleep(indexPause)
		}
		if v, err = q.readOnce(t.id); err != nil || v.index >= t.index {
			return v, err
		}
	}
	return v, nil
}

func (q *request) readOnce(id string) (value, error) {
	ctx, cancel := context.WithTimeout(q, q.p.opts.ReadTimeout)
	defer cancel()
	b, ok, err := q.p.opts.Store.Get(ctx, q.p.storeKey(id))
	if err != nil || !ok {
		return value{}, err
	}
	v, err := decodeValue(b)
	if err != nil { // as if there were none
		q.p.opts.Logger.WarnContext(q, "chronology: the store has what cannot be read", "error", err)
	}
	return v, nil
}

func (p *Protector) storeKey(id string) string { return p.opts.KeyPrefix + "/v1/" + id }

// useToken requires what a token says. It reports whether that is a good one.
func (q *request) useToken(text string, from Source, life time.Duration, h how) bool {
	p := q.p
	if len(p.keys) == 0 {
		p.rejected(q, from, RejectedKey, "")
		return false
	}
	claims, why := p.keys.open(text, p.now(), life)
	if why != "" {
		p.rejected(q, from, why, "")
		return false
	}
	for _, c := range claims {
		i := p.numberOf(func(d *database) bool { return d.hash == c.cluster })
		if i < 0 {
			p.rejected(q, from, RejectedCluster, fmt.Sprintf("%08x", c.cluster))
			continue
		}
		e := entry{touch: c.asOf, position: c.position, wrote: c.wrote}
		if e.position != "" {
			e.asOf = c.asOf
		}
		if e.wrote {
			q.wroteAt = later(q.wroteAt, c.asOf)
		}
		q.require(i, e, from, h)
	}
	return true
}

// require makes reads include an entry. A touch that is older than Window says nothing any more.
func (q *request) require(i int, e entry, from Source, h how) {
	p, d := q.p, q.p.dbs[i]
	e.cluster = d.name
	asOf := e.asOf
	if e.position == "" {
		if asOf = e.touch; p.now().Sub(asOf) > p.opts.Window {
			return
		}
	}
	err := d.Require(q, e.position, asOf, h.wait, string(h.onTimeout))
	if err == nil && e.beyond && p.now().Sub(e.touch) <= p.opts.Window {
		err = d.Require(q, "", e.touch, h.wait, string(h.onTimeout))
	}
	if err != nil {
		q.refused = true
		p.hole(q, HoleRequire, d.name, err)
		return
	}
	if q.required == nil {
		q.required, q.sources = make([]entry, len(p.dbs)), make([]Source, len(p.dbs))
	}
	if q.required[i].cluster != "" {
		e = merge(d.Merge, q.required[i], e)
	}
	q.required[i], q.sources[i] = e, from
}
