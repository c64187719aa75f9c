package dcroute

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// roundTripper sends a request to an address of its upstream, and once more to the next if it did surely not happen, or may
// happen twice, and nothing of its body is gone.
type roundTripper struct{}

// RoundTrip implements http.RoundTripper.
func (roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	s := sendingOf(r.Context())
	list := s.up.inOrder(time.Now())
	res, first := s.attempt(r, list[0], 1)
	if first == nil || !s.mayRetry(r, first) {
		return res, asError(first)
	}
	if len(list) == 1 {
		if !pause(r.Context(), retryPause/2+rand.N(retryPause)) { //nolint:gosec // it need not be a secret
			return nil, first
		}
		list = append(list, list[0])
		s.up.transport.CloseIdleConnections() // they may be as dead as that one
	}
	res, second := s.attempt(r, list[1], 2)
	if second != nil && first.kind == lost {
		second.kind = lost // the first one may have happened
	}
	return res, asError(second)
}

func asError(f *failed) error {
	if f == nil {
		return nil
	}
	return f
}

// retryPause is before a second attempt to the only address, on the average.
const retryPause = 50 * time.Millisecond

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *sending) mayRetry(r *http.Request, f *failed) bool {
	if !s.untouched() || r.Context().Err() != nil {
		return false
	}
	switch f.kind {
	case unreachable:
		return true
	case lost:
		return !s.x.upgrade && (s.x.harmless() && safe(r.Method) || r.Method == http.MethodPut || r.Method == http.MethodDelete)
	}
	return false
}

// attempt sends the request to one address.
func (s *sending) attempt(r *http.Request, a *address, number int) (*http.Response, *failed) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	out := r.WithContext(ctx)
	to := *r.URL
	to.Scheme, to.Host = a.url.Scheme, a.url.Host
	out.URL = &to
	transport := s.up.transport
	if s.x.upgrade {
		transport = s.up.spliced
	}
	res, err := transport.RoundTrip(out)
	var f *failed
	switch {
	case err == nil:
		s.up.worked(a)
	case connected.Load():
		f = &failed{lost, err}
		if timedOut(err) {
			f.kind = late
		}
	default:
		f = &failed{unreachable, err}
		if r.Context().Err() == nil {
			a.note(err.Error(), time.Now())
		}
	}
	if on := s.x.rt.opts.Events.OnForward; on != nil {
		info := ForwardInfo{DC: s.up.dc, Addr: a.text, Attempt: number, Err: err, Sent: connected.Load()}
		if res != nil {
			info.Status = res.StatusCode
		}
		on(r.Context(), info)
	}
	return res, f
}

func timedOut(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout() || errors.Is(err, context.DeadlineExceeded)
}
