package dcroute

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multidc/multidc/internal/dcname"
)

// check is of what the caller gave, before the defaults.
func (o *Options) check() error {
	if err := dcname.Check(o.DC); err != nil {
		return fmt.Errorf("dcroute: Options.DC: %w", err)
	}
	for _, part := range []func() error{o.checkUpstreams, o.checkKeys, o.checkOrder, o.checkTimes, o.checkNames} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) checkUpstreams() error {
	for _, dc := range slices.Sorted(maps.Keys(o.Upstreams)) {
		if err := dcname.Check(dc); err != nil {
			return fmt.Errorf("dcroute: Options.Upstreams: %w", err)
		}
		if dc == o.DC {
			return fmt.Errorf("dcroute: Options.Upstreams: %q is this DC, Options.DC: name the others only", dc)
		}
		u := o.Upstreams[dc]
		if len(u.Addrs) == 0 {
			return fmt.Errorf("dcroute: Options.Upstreams[%q].Addrs is empty", dc)
		}
		for i, addr := range u.Addrs {
			if err := checkAddr(addr, u.AllowPlaintext); err != nil {
				return fmt.Errorf("dcroute: Options.Upstreams[%q].Addrs[%d]: %w", dc, i, err)
			}
		}
	}
	return nil
}

// checkAddr wants scheme://host or scheme://host:port.
func checkAddr(addr string, plaintext bool) error {
	u, err := url.Parse(addr)
	if err != nil {
		return errors.New("malformed address: want https://host:port") // the error has the address, and that may have a password
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.Scheme+"://"+u.Host != addr:
		return fmt.Errorf("malformed address %q: want https://host:port", u.Redacted())
	case strings.HasSuffix(u.Host, ":"), u.Port() != "" && !isPort(u.Port()):
		return fmt.Errorf("malformed address %q: bad port", addr)
	case u.Scheme == "http" && !plaintext:
		return fmt.Errorf("%q is plaintext: use https, or set AllowPlaintext if the link is encrypted below", addr)
	}
	return nil
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func (o *Options) checkKeys() error {
	if len(o.HopKeys) == 0 && len(o.Upstreams) > 0 {
		return errors.New("dcroute: Options.HopKeys is empty: with Upstreams a key is needed, the same in every DC")
	}
	for i, key := range o.HopKeys {
		if len(key) < minKey {
			return fmt.Errorf("dcroute: Options.HopKeys[%d] has %d bytes: want %d or more", i, len(key), minKey)
		}
	}
	return nil
}

func (o *Options) checkOrder() error {
	for i, dc := range o.Order {
		if _, ok := o.Upstreams[dc]; !ok && dc != o.DC {
			return fmt.Errorf("dcroute: Options.Order[%d]: %q is neither Options.DC nor in Options.Upstreams", i, dc)
		}
		if slices.Contains(o.Order[:i], dc) {
			return fmt.Errorf("dcroute: Options.Order[%d]: %q stands there twice", i, dc)
		}
	}
	return nil
}

// checkTimes: a client whose position still counts must not lose the cookie that leads him to it.
func (o *Options) checkTimes() error {
	position := o.PositionTTL
	if position == 0 {
		position = defaultStickyTTL
	}
	if ttl := stickyTTL(o.StickyTTL); ttl < position || ttl < time.Second {
		return fmt.Errorf("dcroute: Options.StickyTTL is %v: want Options.PositionTTL, %v, or more", ttl, position)
	}
	return nil
}

func (o *Options) checkNames() error {
	for i, name := range o.SessionCookies {
		if !isToken(strings.TrimSuffix(name, "*")) || strings.Count(name, "*") > strings.Count(name[len(name)-1:], "*") {
			return fmt.Errorf("dcroute: Options.SessionCookies[%d]: %q: want a cookie's name, or its beginning and one *", i, name)
		}
	}
	if o.AnonCookie != "" && !isToken(o.AnonCookie) {
		return fmt.Errorf("dcroute: Options.AnonCookie: %q is no cookie's name", o.AnonCookie)
	}
	if o.LoopToken != "" && !isToken(o.LoopToken) {
		return fmt.Errorf("dcroute: Options.LoopToken: %q: want a token as in RFC 9110", o.LoopToken)
	}
	return nil
}

// isToken is RFC 9110's: what methods, and names of headers and cookies, are made of.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isAlnum(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
