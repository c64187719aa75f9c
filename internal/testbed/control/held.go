package control

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/multidc/multidc/internal/testbed/bed"
)

// mostOptions bounds the options of a private instance, in bytes.
const mostOptions = 64 << 10

// private starts an instance that lives as long as the request.
func (c *control) private(w http.ResponseWriter, r *http.Request) {
	options, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostOptions))
	if err != nil {
		fail(w, fmt.Errorf("%w: options: %w", errRequest, err))
		return
	}
	kind := r.PathValue("kind")
	if err := c.known(kind); err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	set, err := c.bed.Private(ctx, kind, options)
	if err != nil {
		fail(w, err)
		return
	}
	// Whoever waits for the end of the instance is gone: an error has nobody to go to, and the bed's guard sees to
	// what is left.
	defer func() { _ = c.bed.EndPrivate(set) }()
	made := inventory{ID: set.ID, Variables: set.Vars()}
	made.add(set)
	hold(ctx, w, made)
}

// lease hands out a lease that lives as long as the request.
func (c *control) lease(w http.ResponseWriter, r *http.Request) {
	kind, mode := r.PathValue("kind"), r.URL.Query().Get("mode")
	if err := c.known(kind); err != nil {
		fail(w, err)
		return
	}
	if mode != "exclusive" && mode != "shared" {
		fail(w, fmt.Errorf("%w: mode %q: want exclusive or shared", errRequest, mode))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	release, err := c.bed.Leases.Take(ctx, kind, mode == "exclusive")
	if err != nil {
		fail(w, err)
		return
	}
	defer release()
	hold(ctx, w, map[string]string{"kind": kind, "mode": mode})
}

func (c *control) known(kind string) error {
	if _, err := bed.Find(c.bed.Kinds(), kind); err != nil {
		return fmt.Errorf("%w: %w", errUnknown, err)
	}
	return nil
}

// hold tells the client that it has what it asked for, and waits until it lets go.
func hold(ctx context.Context, w http.ResponseWriter, value any) {
	answer(w, http.StatusOK, value)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	<-ctx.Done()
}
