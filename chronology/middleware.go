package chronology

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/multidc/multidc/internal/headerhook"
	"github.com/multidc/multidc/internal/stickydc"
)

// TokenHeader carries a token from one service to another, in a request: its middleware reads it as it reads the cookie.
const TokenHeader = "Multidc-Position"

const (
	laggedHeader   = "X-Database-Lagged"
	nonWriteHeader = "X-Dc-Non-Write" // set by dcroute
)

// The phases of a request that a cluster is told.
const (
	phaseGet      = "GET"
	phasePostSend = "PostSend-GET"
	phaseNonWrite = "POST-nonwrite"
)

// Middleware lets the requests of next include what their clients wrote, and remembers what they write. It belongs inside
// a router that may send a request to another DC, and outside whatever commits when the handler has returned.
func (p *Protector) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := p.newRequest(r.Context())
		switch {
		case safe(r.Method):
			q.phase(phaseGet)
			defer q.phase(phasePostSend)
		case r.Header.Get(nonWriteHeader) == "true":
			q.phase(phaseNonWrite)
		}
		q.begin(r)
		hook := headerhook.New(w, func(int) { q.answering(w.Header(), r) })
		defer func() { // also in a panic: what was committed is
			q.returned = true
			hook.Finish()
			q.late(r)
		}()
		in := r.WithContext(q)
		defer func() { r.MultipartForm = in.MultipartForm }() // the server removes its files
		next.ServeHTTP(hook.Handlers(), in)
	})
}

// safe: RFC 9110, and the QUERY method.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}

func (q *request) phase(name string) {
	for _, d := range q.p.dbs {
		if d.phaser != nil {
			d.phaser.Phase(q, name)
		}
	}
}

// answering is the last moment before the headers go: what was written until now is remembered. A client that has gone has
// written all the same.
func (q *request) answering(h http.Header, r *http.Request) {
	ctx := context.WithoutCancel(q)
	captured := q.capture(ctx)
	q.mu.Lock()
	marks := slices.Clone(q.marked)
	q.kept, q.keptMarks, q.complete = captured, marks, q.returned
	q.mu.Unlock()
	if slices.ContainsFunc(q.p.dbs, func(d *database) bool { return d.lagged != nil && d.lagged.Lagged(ctx) }) {
		h.Set(laggedHeader, "true")
	}
	if written := q.writes(captured, nil, marks, nil); len(written) > 0 {
		q.keep(ctx, h, r, written)
	}
}

// late looks for what was written when the headers had gone. A store can still be told: a client that has been here before
// finds it there.
func (q *request) late(r *http.Request) {
	if q.complete {
		return
	}
	ctx := context.WithoutCancel(q)
	q.mu.Lock()
	before, marksBefore, marks := q.kept, q.keptMarks, slices.Clone(q.marked)
	q.mu.Unlock()
	written := q.writes(q.capture(ctx), before, marks, marksBefore)
	if len(written) == 0 {
		return
	}
	for _, e := range written {
		q.p.hole(ctx, HoleAfterHeaders, e.cluster, nil)
	}
	if q.p.mode == StoreMode {
		q.identify(r)
		_, _ = q.store(ctx, written) // its failure is told
	}
}

// keep remembers what was written, and sets the cookies.
func (q *request) keep(ctx context.Context, h http.Header, r *http.Request, written []entry) {
	p := q.p
	secure := p.opts.ForceSecure || r.TLS != nil
	info := KeptInfo{Mode: p.mode}
	for _, e := range written {
		info.Clusters = append(info.Clusters, e.cluster)
	}
	switch p.mode {
	case StoreMode:
		q.identify(r)
		if index, ok := q.store(ctx, written); ok {
			p.setCookie(h, indexCookie, ticket{index, p.now(), q.id}.String(), secure)
			info.Position = true
		}
	case TokenMode:
		if text := q.token(ctx, written, p.opts.Window); text != "" {
			p.setCookie(h, tokenCookie, text, secure)
			info.Position = true
		}
	}
	if info.Position {
		stickydc.Private(h)
	}
	if p.leadsHome(r.Method, written) {
		stickydc.Set(h, p.opts.StickyTTL, p.opts.CookieDomain, secure)
		info.Sticky = true
	}
	if on := p.opts.Events.OnKept; on != nil && (info.Position || info.Sticky) {
		on(ctx, info)
	}
}

// identify settles the id that the client is known by: that of its cookie, of the application, or a new one.
func (q *request) identify(r *http.Request) {
	if q.id == "" && q.p.opts.ClientID != nil {
		if id := q.p.opts.ClientID(r); id != "" {
			q.id = q.p.keys.clientID(id)
		}
	}
	if q.id == "" {
		q.id = newID()
	}
}

// storeLife is how long an entry lives.
func (p *Protector) storeLife() time.Duration { return max(time.Minute, p.opts.Window+10*time.Second) }

// store adds what was written to the client's entry.
func (q *request) store(ctx context.Context, written []entry) (index uint32, ok bool) {
	p := q.p
	ctx, cancel := context.WithTimeout(ctx, p.opts.WriteTimeout)
	defer cancel()
	var next value
	var lost []string
	var gone bool // what the client has seen
	err := p.opts.Store.Update(ctx, p.storeKey(q.id), p.storeLife(), func(old []byte) ([]byte, error) {
		var v value
		if old != nil {
			v, _ = decodeValue(old) // what cannot be read counts as absent
		}
		gone = v.index < q.seen
		v.index = max(v.index, q.seen) // what another DC's store has must not pass for this
		next, lost = v.add(written, p.mergeOf)
		return next.encode(), nil
	})
	if err != nil {
		p.hole(ctx, HoleStoreWrite, "", err)
		return 0, false
	}
	if gone && q.found {
		p.hole(ctx, HoleIndexBehind, "", nil)
	}
	for _, cluster := range lost {
		p.hole(ctx, HoleNoRoom, cluster, nil)
	}
	return next.index, true
}

// token is a token of what this request requires, as far as that is younger than life, and of what it wrote.
func (q *request) token(ctx context.Context, written []entry, life time.Duration) string {
	p, now := q.p, q.p.now()
	var list []entry
	q.mu.Lock()
	for _, e := range q.required {
		if e.cluster != "" && now.Sub(e.latest()) <= life {
			list = append(list, e)
		}
	}
	q.mu.Unlock()
	for _, w := range written {
		at := slices.IndexFunc(list, func(e entry) bool { return e.cluster == w.cluster })
		if at < 0 {
			list = append(list, w)
		} else {
			list[at] = merge(p.mergeOf(w.cluster), list[at], w)
		}
	}
	list, lost := reduce(list, func(kept []entry) bool { return len(p.seal(now, kept)) <= maxToken })
	for _, cluster := range lost {
		p.hole(ctx, HoleNoRoom, cluster, nil)
	}
	if len(list) == 0 {
		return ""
	}
	return p.seal(now, list)
}

// seal signs entries. When it is too long already it need not be exact.
func (p *Protector) seal(now time.Time, list []entry) string {
	claims := make([]claim, 0, len(list))
	for _, e := range list {
		c := claim{cluster: clusterHash(e.cluster), wrote: e.wrote, asOf: e.asOf, position: e.position}
		if e.position == "" || e.beyond { // there is room for one: the touch limits the lag for the position's write too
			c.position, c.asOf = "", e.touch
		}
		claims = append(claims, c)
	}
	return p.keys.seal(now, claims)
}

// leadsHome decides on the sticky cookie. In store mode it must not lead away from the store that has the position.
func (p *Protector) leadsHome(method string, written []entry) bool {
	if p.opts.StickyTTL < 0 || safe(method) {
		return false
	}
	if p.numberOf(func(d *database) bool { return d.WriterDC() == p.opts.DC }) >= 0 {
		return true
	}
	return p.mode != StoreMode && slices.ContainsFunc(written, func(e entry) bool {
		return p.dbs[p.numberOf(named(e.cluster))].WriterDC() != ""
	})
}
