package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"sync/atomic"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// cacheTTL is also how long a datacenter may show an old page at most whose purge was lost, by a cut link or a cache server
// that was down.
const cacheTTL = time.Minute

// pageCache is what one datacenter has cached of the newest revisions, by title.
type pageCache struct {
	*wanobjectcache.Cache

	page *wanobjectcache.Group[string, revision] // without the text
	html *wanobjectcache.Group[string, rendered]
	last atomic.Pointer[purge] // from this DC
}

// rendered is a revision as it is shown.
type rendered struct {
	Revision int64
	HTML     template.HTML
}

// purge tells what becomes of it in both datacenters. A template asks for String: by itself it would copy a Delivery that is
// still under way.
type purge struct {
	Titles     []string
	Page, HTML *wanobjectcache.Delivery
}

func newPageCache(s *site) (*pageCache, error) {
	own, other := s.dbs.stores(s.dc)
	cache, err := wanobjectcache.New(own, &wanobjectcache.Options{
		DC: s.dc, Keyspace: "wiki",
		Remote:    map[string]wanobjectcache.Store{otherDC(s.dc): other},
		Freshness: wanobjectcache.FromContext, // rdbms, which the loaders read, reports by itself
	})
	if err != nil {
		return nil, err
	}
	load := newPages(s)
	c := &pageCache{Cache: cache}
	var errPage, errHTML error
	c.page, errPage = wanobjectcache.NewGroup(cache, "page", &wanobjectcache.GroupOptions[string, revision]{TTL: cacheTTL, Load: load.head})
	c.html, errHTML = wanobjectcache.NewGroup(cache, "html", &wanobjectcache.GroupOptions[string, rendered]{TTL: cacheTTL, Load: load.rendered})
	return c, errors.Join(errPage, errHTML)
}

// purge purges pages in both datacenters. It waits for this one. That one of them misses it keeps nobody from saving: an old
// page does not stay for long, and the footer tells.
func (c *pageCache) purge(ctx context.Context, titles []string) error {
	if len(titles) == 0 {
		return nil
	}
	page, errPage := c.page.Delete(ctx, titles...)
	html, errHTML := c.html.Delete(ctx, titles...)
	if err := errors.Join(unlessTold(errPage), unlessTold(errHTML)); err != nil {
		return err
	}
	c.last.Store(&purge{Titles: titles, Page: page, HTML: html})
	return nil
}

// unlessTold leaves out what the Delivery tells as well.
func unlessTold(err error) error {
	var told *wanobjectcache.DeliveryError
	if errors.As(err, &told) {
		return nil
	}
	return err
}

// rendered renders a page's newest revision, as far as this DC knows.
func (p *pages) rendered(ctx context.Context, title string) (rendered, error) {
	r, err := p.page(ctx, title)
	if err != nil {
		return rendered{}, err
	}
	html, err := render(title, r.Text)
	return rendered{Revision: r.ID, HTML: html}, err
}

// newest returns a page to be shown, from the cache if it is there, and how it came by it.
func (p *pages) newest(ctx context.Context, title string) (pageBody, string, error) {
	if p.own.RecentWriter(ctx) { // what is cached may be older than its edit, if a cut link has lost the purge
		body, err := p.uncached(ctx, title)
		return body, "not asked, for this client has just written", err
	}
	page, errPage := p.cache.page.Fetch(ctx, title)
	html, errHTML := p.cache.html.Fetch(ctx, title)
	how := fmt.Sprintf("page %s, HTML %s", page.Outcome, html.Outcome)
	if page.State == wanobjectcache.Unknown || html.State == wanobjectcache.Unknown {
		how = "a server does not answer: " + how
	}
	switch {
	case errPage != nil || errHTML != nil:
		return pageBody{}, how, errors.Join(errPage, errHTML)
	case page.Value.ID != html.Value.Revision: // two values are of two moments: there was an edit in between
		body, err := p.uncached(ctx, title)
		return body, how + ", of another revision: not used", err
	case !page.Found:
		return pageBody{}, how, errNoPage
	}
	return pageBody{Revision: page.Value, HTML: html.Value.HTML}, how, nil
}

func (p *pages) uncached(ctx context.Context, title string) (pageBody, error) {
	r, err := p.page(ctx, title)
	if err != nil {
		return pageBody{}, err
	}
	html, err := render(title, r.Text)
	return pageBody{Revision: r, HTML: html}, err
}
