package dcroute

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/netip"
)

// lastBucket moves last.
const lastBucket = maxShare - 1

// bucket draws a client for the rollout: 0 to 9,999, hundredths of a percent. It is the same in every DC and at all times, and
// another salt draws anew.
func bucket(salt, client string) int {
	b := make([]byte, 0, 256)
	b = append(append(append(b, salt...), 0), client...)
	sum := sha256.Sum256(b)
	return int(binary.BigEndian.Uint64(sum[:8]) % maxShare)
}

// bucketOf is the bucket of a request's client; one that nothing is known of is in the last.
func (rt *Router) bucketOf(r *http.Request, salt string) int {
	_, client := rt.client(r)
	if client == "" {
		return lastBucket
	}
	return bucket(salt, client)
}

// client is what the rollout knows a client by, the first that exists, and where it is from.
func (rt *Router) client(r *http.Request) (source, key string) {
	if value, _ := rt.session(r); value != "" {
		return "session cookie", value
	}
	if rt.opts.Subject != nil {
		if subject := rt.opts.Subject(r); subject != "" {
			return "subject", subject
		}
	}
	if rt.opts.AnonCookie != "" {
		if value, _ := findCookie(r.Header["Cookie"], rt.opts.AnonCookie); value != "" {
			return "anonymous cookie", value
		}
	}
	if key := addrKey(rt.opts.ClientIP(r)); key != "" {
		return "address", key
	}
	return "nothing", ""
}

// addrKey is an IPv4 in full, and an IPv6 as its /64: what one household has.
func addrKey(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if !ip.IsValid() || ip.Is4() {
		if !ip.IsValid() {
			return ""
		}
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return ""
	}
	return prefix.String()
}

// remoteAddr is Options.ClientIP where none is given.
func remoteAddr(r *http.Request) netip.Addr {
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return at.Addr()
	}
	ip, _ := netip.ParseAddr(r.RemoteAddr)
	return ip
}
