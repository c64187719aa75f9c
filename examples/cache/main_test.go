package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCache(t *testing.T) {
	begun := time.Now()
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out))
	require.Less(t, time.Since(begun), 10*time.Second)
	require.Regexp(t, `^  a gets Ada: miss\.compute
  a gets Ada: hit\.good
  b gets Ada: miss\.compute
  b gets Ada: hit\.good
a changes it to Ada Lovelace: a: done in \S+; b: done in \S+
  a gets Ada Lovelace: miss\.compute
  b gets Ada Lovelace: miss\.compute
  b gets Ada Lovelace: (hit\.volatile|miss\.compute)
after the hold-off of \S+
  b gets Ada Lovelace: miss\.compute
  b gets Ada Lovelace: hit\.good
a changes it to Countess of Lovelace: a: done in \S+; b: failed: .*cut off
  a gets Countess of Lovelace: miss\.compute
  b gets Ada Lovelace: hit\.good
$`, out.String())
}

func TestProgramIsSmall(t *testing.T) {
	text, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Less(t, bytes.Count(text, []byte("\n")), 100)
}
