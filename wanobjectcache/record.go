package wanobjectcache

import (
	"encoding/binary"
	"math"
	"time"
)

// micros is a moment, in microseconds since 1970 UTC, or a span in microseconds.
type micros int64

// microsOf drops what is below a microsecond. The zero time is 0.
func microsOf(t time.Time) micros {
	if t.IsZero() {
		return 0
	}
	return micros(t.UnixMicro())
}

// time is the moment, in UTC; 0 is the zero time.
func (m micros) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// recordKind is what is stored under a key. It stands in the record and in the item's client flags, so that a purge is
// known even where its record cannot be read.
type recordKind byte

const (
	kindValue     recordKind = 1
	kindTombstone recordKind = 2
	kindTag       recordKind = 3 // and the epoch
	kindMutex     recordKind = 4 // in the flags only: a mutex has no record
)

// flagsBase stays when the format changes: who cannot read a newer tombstone must still know that it is one.
const flagsBase = 0x57430100

// flags are the client flags of an item of this kind.
func (k recordKind) flags() uint32 { return flagsBase | uint32(k) }

// kindOf reads client flags; false: the item is not ours.
func kindOf(flags uint32) (recordKind, bool) {
	k := recordKind(flags)
	return k, k.flags() == flags && kindValue <= k && k <= kindMutex
}

// record is what lies under the keys of values, interim values, tags and the epoch; FORMAT.md describes its bytes.
type record struct {
	kind             recordKind
	negative, capped bool
	at               micros // when it was stored, or purged
	span             micros // logical TTL, 0 = none; or the hold-off
	gen              uint32 // how long the load took, in microseconds; math.MaxUint32 = that or longer
	payload          []byte // the value; of a tombstone, a tag and the epoch: the origin DC
}

const (
	recordHeader = 32
	recordFormat = 1

	bitNegative = 1 << 0
	bitCapped   = 1 << 1

	maxOrigin = math.MaxUint8 // what the length byte can say; names of DCs are far shorter
)

func (r record) append(dst []byte) []byte {
	dst = append(dst, 'W', 'C', recordFormat, byte(r.kind), r.bits(), 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.at))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.span))
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, r.gen)
	if r.kind == kindValue {
		return append(dst, r.payload...)
	}
	origin := r.payload[:min(len(r.payload), maxOrigin)]
	return append(append(dst, byte(len(origin))), origin...)
}

func (r record) bits() (b byte) {
	if r.negative {
		b |= bitNegative
	}
	if r.capped {
		b |= bitCapped
	}
	return b
}

// decodeRecord reads what append has written. It is false for anything else; what that means depends on the key and the
// flags. The payload is a part of b.
func decodeRecord(b []byte) (record, bool) {
	if len(b) < recordHeader || b[0] != 'W' || b[1] != 'C' || b[2] != recordFormat {
		return record{}, false
	}
	bits, reserved := b[4], uint32(b[5])|uint32(b[6])|uint32(b[7])|binary.BigEndian.Uint32(b[24:])
	r := record{
		kind:     recordKind(b[3]),
		negative: bits&bitNegative != 0,
		capped:   bits&bitCapped != 0,
		at:       micros(binary.BigEndian.Uint64(b[8:])),
		span:     micros(binary.BigEndian.Uint64(b[16:])),
		gen:      binary.BigEndian.Uint32(b[28:]),
	}
	if bits&^(bitNegative|bitCapped) != 0 || reserved != 0 || r.at < 0 || r.span < 0 {
		return record{}, false
	}
	payload, ok := payloadOf(r.kind, b[recordHeader:])
	if !ok {
		return record{}, false
	}
	r.payload = payload
	return r, true
}

// payloadOf takes the value, or the origin DC behind its length byte.
func payloadOf(kind recordKind, b []byte) ([]byte, bool) {
	switch kind {
	case kindValue:
		return b, true
	case kindTombstone, kindTag:
		if len(b) == 0 || int(b[0]) != len(b)-1 {
			return nil, false
		}
		return b[1:], true
	default:
		return nil, false
	}
}

// loadedAt is when the load began whose result this is: a value is as old as that. It is 0 if the load took so long that
// gen cannot tell.
func (r record) loadedAt() micros {
	if r.gen == math.MaxUint32 {
		return 0
	}
	return max(r.at-micros(r.gen), 0)
}

// genOf rounds up: a value must not look younger than it is.
func genOf(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	us := d / time.Microsecond
	if d%time.Microsecond > 0 {
		us++
	}
	return uint32(min(us, math.MaxUint32))
}
