package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOwnEdits(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	require.Regexp(t, `^read in b by the author +edit 1, from \[(a|b)\.db\]
read in b by a stranger +edit (1|2), from \[b\.db\]
read in b by the author +edit 2, from \[(a|b)\.db\]
read in b by a stranger, lag 1 h +edit 2, from \[b\.db\]
read in b by the author, lag 1 h +edit 3, from \[a\.db\]
$`, out.String())
}

func TestProgramIsSmall(t *testing.T) {
	text, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Less(t, bytes.Count(text, []byte("\n")), 100)
}
