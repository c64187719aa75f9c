package chronology

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/multidc/multidc/internal/dcname"
)

// Protector remembers what clients wrote, and lets their reads include it. Its methods may be called from several
// goroutines.
type Protector struct {
	opts Options
	mode Mode
	keys keyring
	dbs  []*database
}

// New makes a protector of reads of these clusters. It does no I/O and starts no goroutine. An error names the option that
// cannot be used.
func New(clusters []Cluster, options *Options) (*Protector, error) {
	var o Options
	if options != nil {
		o = *options
	}
	o, err := o.checked()
	if err != nil {
		return nil, fmt.Errorf("chronology: %w", err)
	}
	p := &Protector{opts: o, mode: StickyMode}
	for _, k := range o.Keys {
		p.keys = append(p.keys, newSigner(k))
	}
	p.opts.Keys = nil // the secrets are with the signers alone
	if p.dbs, err = databasesOf(clusters); err != nil {
		return nil, fmt.Errorf("chronology: clusters: %w", err)
	}
	switch {
	case o.Store != nil:
		p.mode = StoreMode
	case len(o.Keys) > 0:
		p.mode = TokenMode
	default:
		o.Logger.Warn("chronology: neither Store nor Keys: own writes are seen only by clients that the sticky cookie leads to the primary DC")
	}
	return p, nil
}

func databasesOf(clusters []Cluster) (list []*database, err error) {
	if len(clusters) == 0 {
		return nil, errors.New("none given: want those that requests write")
	}
	names, hashes := map[string]bool{}, map[uint32]string{}
	for i, c := range clusters {
		if c == nil {
			return nil, fmt.Errorf("number %d is nil", i)
		}
		d := newDatabase(c)
		if err := dcname.Check(d.name); err != nil { // the same alphabet
			return nil, fmt.Errorf("the name of number %d: %w", i, err)
		}
		if names[d.name] {
			return nil, fmt.Errorf("two have the name %s", d.name)
		}
		if other, taken := hashes[d.hash]; taken {
			return nil, fmt.Errorf("%s and %s have one hash, and could not be told apart in tokens: rename one", other, d.name)
		}
		names[d.name], hashes[d.hash] = true, d.name
		list = append(list, d)
	}
	return list, nil
}

func (p *Protector) now() time.Time { return p.opts.Now() }

// numberOf is a cluster's place in dbs, or -1.
func (p *Protector) numberOf(is func(*database) bool) int {
	for i, d := range p.dbs {
		if is(d) {
			return i
		}
	}
	return -1
}

func named(name string) func(*database) bool {
	return func(d *database) bool { return d.name == name }
}

// mergeOf is the Merge of a cluster. What another process knows of clusters that this one does not know is not touched.
func (p *Protector) mergeOf(name string) func(a, b string) (string, error) {
	if i := p.numberOf(named(name)); i >= 0 {
		return p.dbs[i].Merge
	}
	return func(string, string) (string, error) { return "", errors.New("no such cluster") }
}

// newID is 128 random bits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// MarkWritten says that this request wrote what the cluster cannot see, for example through another connection: for the
// client's next requests the lag of replicas is limited. Call it after the commit, and before the answer begins. Without
// a scope (Middleware, WithToken, Resume), or with an unknown cluster, it logs an error.
func (p *Protector) MarkWritten(ctx context.Context, cluster string) {
	q, i := p.requestOf(ctx), p.numberOf(named(cluster))
	if q == nil || i < 0 {
		p.opts.Logger.ErrorContext(ctx, "chronology: MarkWritten is without effect", "cluster", cluster, "scope", q != nil, "known", i >= 0)
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.marked == nil {
		q.marked = make([]time.Time, len(p.dbs))
	}
	q.marked[i] = p.now()
}

// RecentWriter reports whether this client wrote within Window, as far as this request knows: by a valid position, the
// sticky cookie, or MarkWritten.
func (p *Protector) RecentWriter(ctx context.Context) bool {
	q := p.requestOf(ctx)
	if q == nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sticky || q.marked != nil || !q.wroteAt.IsZero() && p.now().Sub(q.wroteAt) <= p.opts.Window
}
