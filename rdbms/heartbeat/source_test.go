package heartbeat

import (
	"strings"
	"testing"
	"time"
)

func TestSourceValidate(t *testing.T) {
	for _, s := range []Source{
		{},
		{Table: "ops.heart_beat$2", Interval: 10 * time.Millisecond, Origins: []Origin{{ServerID: 11}, {Shard: "s1"}, {Datacenter: "a"}, {Shard: "s1", Datacenter: "a"}}},
		{Table: strings.Repeat("d", 64) + "." + strings.Repeat("t", 64)},
	} {
		if err := s.Validate(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for field, bad := range map[string][]Source{
		"Table": {
			{Table: "heartbeat"}, {Table: "a.b.c"}, {Table: ".b"}, {Table: "a."}, {Table: "a.b`"}, {Table: "a.b c"}, {Table: "a.b; DROP TABLE x"},
			{Table: "a.b\n"}, {Table: "ä.b"}, {Table: strings.Repeat("d", 65) + ".t"},
		},
		"Interval":   {{Interval: -1}, {Interval: 9 * time.Millisecond}},
		"Origins[1]": {{Origins: []Origin{{ServerID: 1}, {}}}, {Origins: []Origin{{ServerID: 1}, {ServerID: 2, Shard: "s1"}}}, {Origins: []Origin{{ServerID: 1}, {ServerID: 2, Datacenter: "a"}}}},
	} {
		for _, s := range bad {
			if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), "heartbeat: Source."+field+": ") {
				t.Errorf("%+v: %v", s, err)
			}
		}
	}
}

func TestQuoted(t *testing.T) {
	for table, want := range map[string]string{"": "`heartbeat`.`heartbeat`", "ops.heart$1": "`ops`.`heart$1`"} {
		if got, err := quoted(table); err != nil || got != want {
			t.Errorf("%q is quoted as %s, %v", table, got, err)
		}
	}
}
