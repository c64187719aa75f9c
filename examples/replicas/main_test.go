package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReplicas(t *testing.T) {
	begun := time.Now()
	var out strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // its waits are longer then
	defer cancel()
	require.NoError(t, run(ctx, &out))
	require.Less(t, time.Since(begun), 10*time.Second)
	for _, line := range []string{
		`as it comes +b\.db +\S+ +false`,
		`an own write +b\.db +\S+ +false +waited for it: true`,
		`an own write, lag 1 h +a\.db +0s +false +waited for it: false so: primary`,
		`as it comes, lag 1 h +b\.db +\S+ +true +so: lagged`,
		`at most 300 ms old +a\.db +0s +false +so: primary`,
		`the primary +a\.db +0s +false`,
	} {
		require.Regexp(t, `(?m)^`+line+` *$`, out.String())
	}
}
