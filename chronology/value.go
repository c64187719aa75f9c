package chronology

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	valueVersion = 1
	maxValue     = 16 << 10
	maxClusters  = 64
)

// value is what a store has of a client.
type value struct {
	index   uint32
	entries []entry // by cluster
}

// wireValue is its JSON.
type wireValue struct {
	V int                  `json:"v"`
	I uint32               `json:"i"`
	C map[string]wireEntry `json:"c"`
}

type wireEntry struct {
	T int64  `json:"t"`           // touch; times are in Unix milliseconds
	A int64  `json:"a,omitempty"` // asOf
	P string `json:"p,omitempty"`
}

func (v value) encode() []byte {
	w := wireValue{V: valueVersion, I: v.index, C: make(map[string]wireEntry, len(v.entries))}
	for _, e := range v.entries {
		one := wireEntry{T: e.touch.UnixMilli()}
		if e.position != "" {
			one.A, one.P = e.asOf.UnixMilli(), e.position
		}
		w.C[e.cluster] = one
	}
	b, _ := json.Marshal(w) // strings and numbers always can be
	return b
}

var errValue = errors.New("not a value of version 1")

func decodeValue(b []byte) (v value, err error) {
	if len(b) > maxValue {
		return v, fmt.Errorf("%w: %d bytes, want %d at most", errValue, len(b), maxValue)
	}
	var w wireValue
	if err := json.Unmarshal(b, &w); err != nil {
		return v, fmt.Errorf("%w: %w", errValue, err)
	}
	if w.V != valueVersion || w.I == 0 || len(w.C) > maxClusters {
		return v, errValue
	}
	v.index = w.I
	for cluster, one := range w.C {
		e := entry{cluster: cluster, touch: time.UnixMilli(one.T), wrote: true}
		if one.P != "" && len(one.P) <= maxPosition {
			e.asOf, e.position = time.UnixMilli(one.A), one.P
			e.beyond = e.touch.Sub(e.asOf) > touchSlack // or the answer began that long after the commit: then it is only stricter
		}
		v.entries = append(v.entries, e)
	}
	slices.SortFunc(v.entries, func(a, b entry) int { return strings.Compare(a.cluster, b.cluster) })
	return v, nil
}

// add is the value after new writes; the clusters of both are kept. It also returns those that lost something for want of
// room. mergeOf has the Merge of a cluster.
func (v value) add(written []entry, mergeOf func(cluster string) func(a, b string) (string, error)) (next value, lost []string) {
	next.index = v.index + 1
	if v.index == math.MaxUint32 {
		next.index = 1
	}
	next.entries = slices.Clone(v.entries)
	for _, w := range written {
		at, there := slices.BinarySearchFunc(next.entries, w.cluster, func(e entry, cluster string) int { return strings.Compare(e.cluster, cluster) })
		if there {
			next.entries[at] = merge(mergeOf(w.cluster), next.entries[at], w)
		} else {
			next.entries = slices.Insert(next.entries, at, w)
		}
	}
	next.entries, lost = reduce(next.entries, func(kept []entry) bool {
		return len(kept) <= maxClusters && len(value{next.index, kept}.encode()) <= maxValue
	})
	return next, lost
}
