package rdbmstest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// gtid is MariaDB's name of a transaction.
type gtid struct {
	domain, server uint32
	sequence       uint64
}

func gtidText(list map[uint32]gtid) string {
	texts := make([]string, 0, len(list))
	for _, domain := range slices.Sorted(maps.Keys(list)) {
		g := list[domain]
		texts = append(texts, fmt.Sprintf("%d-%d-%d", g.domain, g.server, g.sequence))
	}
	return strings.Join(texts, ",")
}

// current is @@gtid_current_pos: what replication applied, and what the server itself wrote last in a domain.
func (s *server) current() map[uint32]gtid {
	list := maps.Clone(s.slave)
	for domain, g := range s.binlog {
		if g.server == s.id && g.sequence > list[domain].sequence {
			list[domain] = g
		}
	}
	return list
}

// nextGTID is that of the server's next own transaction.
func (s *server) nextGTID() gtid {
	last := max(s.binlog[s.domain].sequence, s.slave[s.domain].sequence)
	return gtid{domain: s.domain, server: s.id, sequence: last + 1}
}

// executedText is @@gtid_executed, with line feeds as MySQL has them.
func (s *server) executedText() string {
	var texts []string
	for _, uuid := range slices.Sorted(maps.Keys(s.executed)) {
		if last := s.executed[uuid]; last == 1 {
			texts = append(texts, uuid+":1")
		} else {
			texts = append(texts, fmt.Sprintf("%s:1-%d", uuid, last))
		}
	}
	return strings.Join(texts, ",\n")
}
