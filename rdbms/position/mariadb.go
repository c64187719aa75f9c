package position

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxDomains is how many replication domains a position may have.
const maxDomains = 32

// gtid is the last transaction of a replication domain.
type gtid struct {
	domain, server uint32
	sequence       uint64
}

// ParseMariaDB reads a position as MariaDB prints it: "0-1-10,1-2-33", with blanks where you like. Of two entries of a
// domain the one with the higher sequence number counts. An empty list is the zero Position.
func ParseMariaDB(text string) (Position, error) {
	if len(text) > maxServerText {
		return Position{}, tooLong(len(text))
	}
	var list []gtid
	for element := range elements(text, ",") {
		g, err := parseGTID(element)
		if err != nil {
			return Position{}, fmt.Errorf("position: %s is no MariaDB GTID (domain-server-sequence): %w", show(element), err)
		}
		list = append(list, g)
	}
	return Position{mariadb: newest(list)}.bounded()
}

func parseGTID(text string) (gtid, error) {
	parts := strings.Split(text, "-")
	if len(parts) != 3 {
		return gtid{}, fmt.Errorf("%d numbers, not 3", len(parts))
	}
	var number [3]uint64
	for i, bits := range []int{32, 32, 64} {
		var err error
		if number[i], err = parseNumber(parts[i], bits); err != nil {
			return gtid{}, err
		}
	}
	return gtid{domain: uint32(number[0]), server: uint32(number[1]), sequence: number[2]}, nil
}

// newest sorts the list in place and keeps of each domain the highest sequence number. Where that is a tie the higher
// server id is kept: any rule would do, but a merge must not depend on the order of its arguments.
func newest(list []gtid) []gtid {
	slices.SortFunc(list, func(a, b gtid) int {
		return cmp.Or(cmp.Compare(a.domain, b.domain), cmp.Compare(b.sequence, a.sequence), cmp.Compare(b.server, a.server))
	})
	return slices.CompactFunc(list, func(a, b gtid) bool { return a.domain == b.domain })
}

func formatMariaDB(list []gtid) string {
	var text strings.Builder
	for i, g := range list {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, "%d-%d-%d", g.domain, g.server, g.sequence)
	}
	return text.String()
}

func findDomain(list []gtid, domain uint32) (index int, found bool) {
	return slices.BinarySearchFunc(list, domain, func(g gtid, d uint32) int { return cmp.Compare(g.domain, d) })
}

func onlyDomain(list []gtid, domain string) []gtid {
	number, err := parseNumber(domain, 32)
	if err != nil {
		return nil
	}
	if i, found := findDomain(list, uint32(number)); found {
		return list[i : i+1 : i+1]
	}
	return nil
}

// reachedMariaDB looks at the sequence numbers alone: within a domain they rise, whichever server writes.
func reachedMariaDB(have, want []gtid) bool {
	for _, w := range want {
		if i, found := findDomain(have, w.domain); !found || have[i].sequence < w.sequence {
			return false
		}
	}
	return true
}

func mergeMariaDB(a, b []gtid) []gtid { return newest(slices.Concat(a, b)) }
