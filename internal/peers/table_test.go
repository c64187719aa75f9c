package peers

import "strings"

// row is what became of the same thing at each of the peers.
type row struct {
	what string
	of   []string // by peer
}

// markdown is a table of rows, for a README.
func markdown(peers []string, rows []row) string {
	var b strings.Builder
	b.WriteString("| | " + strings.Join(peers, " | ") + " |\n|---|" + strings.Repeat("---|", len(peers)) + "\n")
	for _, r := range rows {
		b.WriteString("| " + r.what + " | " + strings.Join(r.of, " | ") + " |\n")
	}
	return b.String()
}
