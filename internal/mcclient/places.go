package mcclient

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// inPlace runs a request to the server when there is a place for it. There are as many as connections are kept open: more
// would be dialed for one request each, and a memcached that was started with defaults refuses all above 1,024.
func (s *server) inPlace(ctx context.Context, request func() error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer func() { <-s.places }()
	err := request()
	if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) {
		s.answered.Add(1)
	}
	return err
}

// enter waits for a place as long as the server answers others. When it has answered nobody for a Timeout it hangs, and
// who waits would wait for one Timeout after another.
func (s *server) enter(ctx context.Context) error {
	select {
	case s.places <- struct{}{}:
		return nil
	default:
	}
	if int(s.outlived.Load()) >= cap(s.places) {
		return s.failed(ErrOverloaded, fmt.Errorf("not asked: all its %d connections wait for answers that nobody wants any more", cap(s.places)))
	}
	timeout := s.client.Timeout
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		answered := s.answered.Load()
		select {
		case s.places <- struct{}{}:
			return nil
		case <-ctx.Done():
			return s.failed(ErrUnavailable, ctx.Err())
		case <-timer.C:
			if s.answered.Load() == answered {
				return s.failed(ErrOverloaded, fmt.Errorf("not asked: all its %d connections are in use, and none had an answer within Timeout, %v", cap(s.places), timeout))
			}
			timer.Reset(timeout)
		}
	}
}
