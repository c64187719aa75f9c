package dcroute

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/multidc/multidc/internal/dcname"
)

const (
	hopVersion = "v1"
	hopContext = "multidc-hop\x00"
	hopMaxLen  = 200
	hopMaxSkew = 30 * time.Second
	hopMACLen  = 43
)

// hop says that another DC's router has decided: from sends the request to.
type hop struct {
	from, to string
	count    int    // how often it was forwarded, from 1
	epoch    uint64 // of the sender's state; 0 = to was not chosen for being the primary
	issued   time.Time
}

// signHop is the header for a request that is forwarded for the first time, as all are.
func (rt *Router) signHop(to string, epoch uint64) string {
	h := hop{from: rt.opts.DC, to: to, count: 1, epoch: epoch, issued: rt.opts.Now()}
	return h.sealed(rt.opts.HopKeys[0])
}

func (h hop) sealed(key []byte) string {
	b := make([]byte, 0, hopMaxLen)
	b = append(b, hopVersion+"."+h.from+"."+h.to+"."...)
	b = append(strconv.AppendInt(b, int64(h.count), 10), '.')
	b = append(strconv.AppendUint(b, h.epoch, 10), '.')
	b = strconv.AppendInt(b, h.issued.UnixMilli(), 10)
	return string(b) + "." + hopMAC(key, string(b))
}

// hopMAC is as text, so that comparing it accepts one spelling only. It does not cover the method: a cache between the DCs may
// make a HEAD a GET.
func hopMAC(key []byte, body string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(hopContext + body))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// openHop returns a valid hop, or why there is none: "" = there is no header.
func (rt *Router) openHop(lines []string) (*hop, HopKind) {
	if len(lines) == 0 {
		return nil, ""
	}
	if len(lines) > 1 {
		return nil, HopForm
	}
	h, kind := parseHop(lines[0])
	if kind != "" {
		return nil, kind
	}
	if h.from == h.to || !rt.known(h.from) || !rt.known(h.to) {
		return nil, HopDC
	}
	if !rt.signed(lines[0]) {
		return nil, HopMAC
	}
	if away := rt.opts.Now().Sub(h.issued); away > hopMaxSkew || away < -hopMaxSkew {
		return nil, HopTime
	}
	return &h, ""
}

func (rt *Router) signed(text string) bool {
	dot := strings.LastIndexByte(text, '.')
	ok := false
	for _, key := range rt.opts.HopKeys {
		ok = hmac.Equal([]byte(hopMAC(key, text[:dot])), []byte(text[dot+1:])) || ok
	}
	return ok
}

// parseHop is about the form; whether it is true, and of now, is not looked at.
func parseHop(text string) (h hop, kind HopKind) {
	if len(text) > hopMaxLen {
		return hop{}, HopForm
	}
	fields := strings.Split(text, ".")
	if fields[0] != hopVersion {
		if n, ok := strings.CutPrefix(fields[0], "v"); ok && len(fields) > 1 {
			if _, ok := number(n); ok {
				return hop{}, HopVersion
			}
		}
		return hop{}, HopForm
	}
	if len(fields) != 7 || dcname.Check(fields[1]) != nil || dcname.Check(fields[2]) != nil || len(fields[6]) != hopMACLen {
		return hop{}, HopForm
	}
	count, ok1 := number(fields[3])
	epoch, ok2 := number(fields[4])
	ms, ok3 := number(fields[5])
	if !ok1 || !ok2 || !ok3 || count < 1 || count > 9 || ms > 1<<62 {
		return hop{}, HopForm
	}
	return hop{from: fields[1], to: fields[2], count: int(count), epoch: epoch, issued: time.UnixMilli(int64(ms))}, ""
}

// number reads a decimal without sign and leading zeros.
func number(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && (text[0] != '0' || text == "0")
}

// epochFor goes into the hop. A DC that was not chosen for being the primary gets 0: it answers whoever that is.
func (rt *Router) epochFor(v *verdict) uint64 {
	if v.Reason == ReasonForce || v.Reason == ReasonLocalDown {
		return 0
	}
	return v.Epoch
}
