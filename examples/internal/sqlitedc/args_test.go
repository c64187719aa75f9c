package sqlitedc

import (
	"database/sql/driver"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func FuzzDecodeArgs(f *testing.F) {
	for _, s := range []string{
		`[]`, `null`, `[{"kind":"int","text":"1"},{"name":"x","kind":"null"}]`, `[{"kind":"float","text":"NaN"}]`,
		`[{"kind":"bytes","text":"AP8="},{"kind":"raw","text":"/w=="}]`, `[{"kind":"time","text":"-1.000000001"}]`,
		`[{"kind":"bool","text":"true"}] x`, `[{"kind":"later"}]`, `{`, `[{"kind":"int","text":"9223372036854775808"}]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args, err := decodeArgs(text)
		if err != nil {
			return
		}
		again, err := encodeArgs(args)
		require.NoError(t, err)
		back, err := decodeArgs(again)
		require.NoError(t, err)
		requireSame(t, args, back)
	})
}

func FuzzArgsRoundTrip(f *testing.F) {
	f.Add(int64(-1), 0.1, true, []byte{0}, "text", int64(1), int64(999_999_999))
	f.Add(int64(math.MinInt64), math.NaN(), false, []byte(nil), "\xff", int64(-1e12), int64(0))
	f.Fuzz(func(t *testing.T, i int64, fl float64, b bool, raw []byte, s string, sec, nsec int64) {
		at := time.Unix(sec%1e12, nsec%1e9).UTC()
		var args []driver.NamedValue
		for n, v := range []driver.Value{nil, i, fl, b, raw, s, at} {
			if v, ok := v.([]byte); ok && v == nil {
				continue // stored as NULL
			}
			args = append(args, driver.NamedValue{Ordinal: len(args) + 1, Value: v, Name: []string{"", "name"}[n%2]})
		}
		text, err := encodeArgs(args)
		require.NoError(t, err)
		back, err := decodeArgs(text)
		require.NoError(t, err)
		requireSame(t, args, back)
	})
}

func requireSame(t *testing.T, want, have []driver.NamedValue) {
	t.Helper()
	require.Len(t, have, len(want))
	for i, w := range want {
		wf, isFloat := w.Value.(float64)
		hf, _ := have[i].Value.(float64)
		if isFloat && math.IsNaN(wf) {
			require.True(t, math.IsNaN(hf))
			continue
		}
		if isFloat {
			require.Equal(t, math.Float64bits(wf), math.Float64bits(hf))
		}
		require.Equal(t, w, have[i])
	}
}

func TestEncodeArgsRefusesOtherTypes(t *testing.T) {
	_, err := encodeArgs([]driver.NamedValue{{Value: int32(1)}})
	require.ErrorContains(t, err, "argument 1: cannot log a int32")
}
