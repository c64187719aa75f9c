package purgelog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/multidc/multidc/internal/dcname"
	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/internal/wirekey"
)

// The format is described in FORMAT.md of package wanobjectcache, under "Purge messages".
const (
	version    = 1
	maxMessage = 1024
	maxHoldoff = time.Hour
)

var errKey = errors.New("key is none that this op can have")

type message struct {
	Version int    `json:"v"`
	Op      string `json:"op"`
	Key     string `json:"key"`
	Time    int64  `json:"t"`
	Holdoff int64  `json:"h"`
	Origin  string `json:"dc"`
}

// encode returns the Kafka key and the value of a purge's message.
func encode(p wanobjectcache.Purge) (key, value []byte, err error) {
	m := message{version, string(p.Op), p.Key, p.Time.UnixMicro(), p.Holdoff.Microseconds(), p.Origin}
	base, err := m.check()
	if err != nil {
		return nil, nil, fmt.Errorf("purge %q of %.300q cannot be logged: %w", m.Op, m.Key, err)
	}
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false) // six bytes for one would not fit
	if err := encoder.Encode(m); err != nil {
		return nil, nil, err
	}
	return []byte(base), bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// decode is for what anybody may have written.
func decode(value []byte) (p wanobjectcache.Purge, err error) {
	if len(value) > maxMessage {
		return p, fmt.Errorf("message has %d bytes, more than %d", len(value), maxMessage)
	}
	var m message
	if err := json.Unmarshal(value, &m); err != nil {
		return p, fmt.Errorf("message is not JSON of a purge: %w", err)
	}
	if _, err := m.check(); err != nil {
		return p, err
	}
	return wanobjectcache.Purge{
		Op: wanobjectcache.PurgeOp(m.Op), Key: m.Key, Origin: m.Origin,
		Time: time.UnixMicro(m.Time), Holdoff: time.Duration(m.Holdoff) * time.Microsecond,
	}, nil
}

// check returns the base key, or what is wrong.
func (m message) check() (base string, err error) {
	switch {
	case m.Version != version:
		return "", fmt.Errorf("version %d is not known, only %d: written by a newer release?", m.Version, version)
	case m.Time <= 0:
		return "", errors.New("t is not more than 0")
	case m.Holdoff < 0 || m.Holdoff > maxHoldoff.Microseconds():
		return "", fmt.Errorf("h is not between 0 and %v", maxHoldoff)
	}
	if err := dcname.Check(m.Origin); err != nil {
		return "", fmt.Errorf("dc: %w", err)
	}
	var want byte
	switch wanobjectcache.PurgeOp(m.Op) {
	case wanobjectcache.OpDelete:
		want = wirekey.Value
	case wanobjectcache.OpTag:
		want = wirekey.Tag
	default:
		return "", fmt.Errorf("op %.20q is not known", m.Op)
	}
	base, typ, ok := wirekey.Split(m.Key)
	if !ok || typ != want {
		return "", fmt.Errorf("%w: %.300q", errKey, m.Key)
	}
	return base, nil
}
