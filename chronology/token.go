package chronology

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tokenVersion = 1
	maxToken     = 1024 // characters
	macSize      = 16
	tokenHead    = 1 + 1 + 6 + 1 // version, key, issued, number of entries

	flagWrote = 1
)

// What a MAC is of comes first, so that none can stand for another.
var (
	tokenContext  = []byte("multidc/chronology/token/1\x00")
	clientContext = []byte("multidc/chronology/client/1\x00")
)

// base64url is strict, but for line ends: it skips them.
var base64url = base64.RawURLEncoding.Strict()

// claim is an entry of a token.
type claim struct {
	cluster  uint32
	wrote    bool
	asOf     time.Time // of the position; without one the touch
	position string
}

// clusterHash stands for a cluster's name in tokens.
func clusterHash(name string) uint32 {
	sum := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint32(sum[:])
}

// signer makes the MACs of one key.
type signer struct {
	id   byte
	macs sync.Pool // of hash.Hash: a new one costs more than the MAC of a token
}

func newSigner(k Key) *signer {
	secret := slices.Clone(k.Secret)
	return &signer{id: k.ID, macs: sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}}
}

// sum appends the MAC of a text under its context.
func (s *signer) sum(dst, context, text []byte) []byte {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	_, _ = mac.Write(context)
	_, _ = mac.Write(text)
	return append(dst, mac.Sum(nil)[:macSize]...)
}

// clientID is the id of a client that the application knows: it does not show whom it stands for.
func (k keyring) clientID(id string) string {
	return hex.EncodeToString(k[0].sum(nil, clientContext, []byte(id)))
}

// keyring is the first key, which signs, and all keys, which verify.
type keyring []*signer

// seal makes a token.
func (k keyring) seal(issued time.Time, claims []claim) string {
	slices.SortFunc(claims, func(a, b claim) int { return cmp.Compare(a.cluster, b.cluster) })
	b := append(make([]byte, 0, maxToken), tokenVersion, k[0].id)
	b = appendMillis(b, issued)
	b = append(b, byte(len(claims)))
	for _, c := range claims {
		b = binary.BigEndian.AppendUint32(b, c.cluster)
		var flags byte
		if c.wrote {
			flags = flagWrote
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(max(issued.UnixMilli()-c.asOf.UnixMilli(), 0)))
		b = binary.AppendUvarint(b, uint64(len(c.position)))
		b = append(b, c.position...)
	}
	return base64url.EncodeToString(k[0].sum(b, tokenContext, b))
}

func appendMillis(b []byte, t time.Time) []byte {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(t.UnixMilli()))
	return append(b, ms[2:]...)
}

// open verifies a token and returns its claims, or why it does not count.
func (k keyring) open(text string, now time.Time, life time.Duration) ([]claim, Rejection) {
	if len(text) > maxToken || strings.ContainsAny(text, "\r\n") {
		return nil, RejectedForm
	}
	b, err := base64url.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil, RejectedForm
	}
	if b[0] != tokenVersion {
		return nil, RejectedVersion
	}
	if len(b) < 2 {
		return nil, RejectedForm
	}
	at := slices.IndexFunc(k, func(s *signer) bool { return s.id == b[1] })
	if at < 0 {
		return nil, RejectedKey
	}
	if len(b) < tokenHead+macSize {
		return nil, RejectedForm
	}
	body, mac := b[:len(b)-macSize], b[len(b)-macSize:]
	var want [macSize]byte
	if !hmac.Equal(k[at].sum(want[:0], tokenContext, body), mac) {
		return nil, RejectedMAC
	}
	issued := millis(body[2:8])
	if why := timely(issued, now, life); why != "" {
		return nil, why
	}
	claims, ok := decodeClaims(body[8:], issued)
	if !ok {
		return nil, RejectedForm
	}
	return claims, ""
}

func millis(b []byte) time.Time {
	var ms [8]byte
	copy(ms[2:], b)
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}

// decodeClaims decodes all that follows the time of issue: the clusters are in order, each once, and nothing is left.
func decodeClaims(b []byte, issued time.Time) (claims []claim, ok bool) {
	n := int(b[0])
	b = b[1:]
	claims = make([]claim, 0, n)
	for range n {
		if len(b) < 5 {
			return nil, false
		}
		c := claim{cluster: binary.BigEndian.Uint32(b), wrote: b[4]&flagWrote != 0}
		if len(claims) > 0 && c.cluster <= claims[len(claims)-1].cluster {
			return nil, false
		}
		age, size := binary.Uvarint(b[5:])
		if size <= 0 || age > uint64(max(issued.UnixMilli(), 0)) {
			return nil, false
		}
		b = b[5+size:]
		length, size := binary.Uvarint(b)
		if size <= 0 || length > uint64(len(b)-size) {
			return nil, false
		}
		c.asOf, c.position = time.UnixMilli(issued.UnixMilli()-int64(age)), string(b[size:size+int(length)])
		b = b[size+int(length):]
		claims = append(claims, c)
	}
	return claims, len(b) == 0
}
