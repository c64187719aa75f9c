package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"time"
)

// sockets are the two addresses the wiki listens on, by datacenter.
type sockets struct{ a, b net.Listener }

// listen opens both, or none.
func listen(ctx context.Context, cfg config) (sockets, error) {
	var lc net.ListenConfig
	a, err := lc.Listen(ctx, "tcp", cfg.addrA)
	if err != nil {
		return sockets{}, fmt.Errorf("datacenter a: %w: choose another address with -a", err)
	}
	b, err := lc.Listen(ctx, "tcp", cfg.addrB)
	if err != nil {
		return sockets{}, errors.Join(fmt.Errorf("datacenter b: %w: choose another address with -b", err), a.Close())
	}
	return sockets{a: a, b: b}, nil
}

func (s sockets) of(dc string) net.Listener {
	if dc == dcA {
		return s.a
	}
	return s.b
}

// other is where the other datacenter listens. The host is empty if a reader of this one reaches it by the same name.
func (s sockets) other(dc string) (host, port string) {
	mine, other := s.a, s.b
	if dc == dcB {
		mine, other = other, mine
	}
	here, _, _ := net.SplitHostPort(mine.Addr().String())
	host, port, _ = net.SplitHostPort(other.Addr().String())
	if ip := net.ParseIP(host); host == here || ip == nil || ip.IsUnspecified() {
		host = ""
	}
	return host, port
}

// close closes what no server has closed.
func (s sockets) close() {
	_ = s.a.Close()
	_ = s.b.Close()
}

// serve answers until ctx ends, and then finishes what it is at.
func serve(ctx context.Context, l net.Listener, h http.Handler, log io.Writer) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      45 * time.Second, // longer than the router waits for the other datacenter: 30 s
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          stdlog.New(log, "wiki: ", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil { // somebody reads slowly: they are cut off
		err = server.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	return err
}
