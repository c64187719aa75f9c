package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multidc/multidc/internal/backoff"
	"github.com/multidc/multidc/rdbms"
)

// What an import takes in at most: enough to look real, and there within a minute also on a slow machine.
const (
	maxPages  = 4000
	maxBytes  = 64 << 20
	batchSize = 50 // pages of one transaction: few commits, and short enough to let an edit in between
)

// importCorpus adds the documents that are no pages yet. What goes wrong with it does not end the wiki.
func importCorpus(ctx context.Context, cfg config, p *pages, show *progress) error {
	err := runImport(ctx, cfg, p, show)
	if err != nil && ctx.Err() == nil {
		show.line("import stopped: %v", err)
	}
	return nil
}

func runImport(ctx context.Context, cfg config, p *pages, show *progress) error {
	show.line("looking for documents to import …")
	found, err := findCorpus(ctx, cfg.importDir)
	if err != nil {
		return err
	}
	begin := time.Now()
	im := importer{pages: p, corpus: found, show: show, total: min(len(found.documents), maxPages)}
	for _, d := range found.documents[:im.total] {
		if im.bytes >= maxBytes {
			break
		}
		if err := im.add(ctx, d); err != nil {
			return err
		}
	}
	if err := im.flush(ctx); err != nil {
		return err
	}
	show.end()
	show.line("%s", im.summary(time.Since(begin)))
	return nil
}

// importer is one import.
type importer struct {
	pages  *pages
	corpus *corpus
	show   *progress

	batch                    []edit
	total, seen, bytes, made int
}

func (im *importer) add(ctx context.Context, d document) error {
	im.seen++
	text, err := d.read()
	switch {
	case errors.Is(err, errTextTooLarge):
		im.corpus.skip("larger than 1 MiB")
	case errors.Is(err, errNotText):
		im.corpus.skip("not text")
	case err != nil:
		im.corpus.skip("unreadable")
	default:
		im.bytes += len(text)
		im.batch = append(im.batch, edit{title: d.title, text: text, summary: "imported", imported: true})
	}
	if len(im.batch) < batchSize {
		return nil
	}
	return im.flush(ctx)
}

func (im *importer) flush(ctx context.Context) error {
	if len(im.batch) == 0 {
		return nil
	}
	made, err := im.save(ctx)
	if err != nil {
		return err
	}
	im.made += made
	im.batch = im.batch[:0]
	im.show.at(im.seen, im.total)
	return nil
}

// save tries again if the server has sorted out an edit, or another import, at the same time: the pages of that are
// there now, and are left alone. Also while the primary moves.
func (im *importer) save(ctx context.Context) (made int, err error) {
	const tries = 10
	retry := backoff.Policy{First: 20 * time.Millisecond, Max: time.Second, Spread: 0.5}
	for n := 1; ; n++ {
		made, err = im.pages.save(ctx, im.batch...)
		if !errors.Is(err, errConflict) && !errors.Is(err, rdbms.ErrReadOnly) || n == tries {
			return made, err
		}
		if err := retry.Sleep(ctx, n); err != nil {
			return 0, err
		}
	}
}

func (im *importer) summary(took time.Duration) string {
	var s strings.Builder
	fmt.Fprintf(&s, "imported %d pages of %d documents (%.1f MB) in %.1f s", im.made, im.seen, float64(im.bytes)/1e6, took.Seconds())
	if left := len(im.corpus.documents) - im.seen; left > 0 {
		fmt.Fprintf(&s, "; %d more left out: an import ends at %d documents or %d MB", left, maxPages, maxBytes>>20)
	}
	for _, reason := range slices.Sorted(maps.Keys(im.corpus.skipped)) {
		fmt.Fprintf(&s, "; skipped %d: %s", im.corpus.skipped[reason], reason)
	}
	return s.String()
}
