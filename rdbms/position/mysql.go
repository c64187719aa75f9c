package position

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// source is who numbers a sequence of transactions: a server by its uuid, and within it a tag (MySQL 8.3 and newer),
// mostly none. Both are in lower case.
type source struct{ uuid, tag string }

func (s source) compare(other source) int {
	return cmp.Or(cmp.Compare(s.uuid, other.uuid), cmp.Compare(s.tag, other.tag))
}

// history is which transactions of a source are there.
type history struct {
	source
	done intervals
}

func (h history) equal(other history) bool {
	return h.source == other.source && slices.Equal(h.done, other.done)
}

// ParseMySQL reads a set of transactions as MySQL prints it: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7-9", with
// blanks and line breaks where you like, servers repeated, upper case, and tags ahead of their intervals
// ("…:1-5:app:1-9"). An empty list is the zero Position. A number 0, an interval that ends before it begins and a
// server without one are errors.
func ParseMySQL(text string) (Position, error) {
	if len(text) > maxServerText {
		return Position{}, tooLong(len(text))
	}
	sets := map[source]intervals{}
	for element := range elements(text, ",") {
		if err := parseSet(sets, element); err != nil {
			return Position{}, fmt.Errorf("position: %s is no MySQL GTID set (uuid:first-last): %w", show(element), err)
		}
	}
	return Position{mysql: histories(sets)}.bounded()
}

// parseSet adds what one server's element says, "uuid:interval…:tag:interval…", to the sets.
func parseSet(sets map[source]intervals, element string) error {
	parts := strings.Split(element, ":")
	uuid := lower(trim(parts[0]))
	if !isUUID(uuid) {
		return fmt.Errorf("%s is no uuid", show(uuid))
	}
	from, owed := source{uuid: uuid}, true // owed: an interval must follow
	for _, part := range parts[1:] {
		part = lower(trim(part))
		if isTag(part) && (!owed || from.tag == "") {
			from.tag, owed = part, true
			continue
		}
		i, err := parseInterval(part)
		if err != nil {
			return err
		}
		sets[from], owed = append(sets[from], i), false
	}
	if owed {
		return errors.New("an interval is missing")
	}
	return nil
}

func parseInterval(text string) (interval, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	var i interval
	var err error
	if i.first, err = parseNumber(first, 64); err != nil {
		return interval{}, err
	}
	if i.last, err = parseNumber(last, 64); err != nil {
		return interval{}, err
	}
	if i.first == 0 || i.last < i.first {
		return interval{}, fmt.Errorf("%d-%d is empty or begins at 0", i.first, i.last)
	}
	return i, nil
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// isTag: a letter or an underscore, then up to 31 of these or digits.
func isTag(s string) bool {
	if s == "" || len(s) > 32 || isDigit(s[0]) {
		return false
	}
	for _, c := range []byte(s) {
		if !isDigit(c) && (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// histories sorts the sets and brings their intervals into order.
func histories(sets map[source]intervals) []history {
	var list []history
	for _, s := range slices.SortedFunc(maps.Keys(sets), source.compare) {
		list = append(list, history{source: s, done: sets[s].ordered()})
	}
	return list
}

// formatMySQL names each server once, as MySQL does: first the intervals without a tag, then tag by tag.
func formatMySQL(list []history) string {
	var text strings.Builder
	last := ""
	for i, h := range list {
		if h.uuid != last {
			if i > 0 {
				text.WriteByte(',')
			}
			text.WriteString(h.uuid)
			last = h.uuid
		}
		if h.tag != "" {
			text.WriteByte(':')
			text.WriteString(h.tag)
		}
		h.done.format(&text)
	}
	return text.String()
}

func onlyUUID(list []history, uuid string) []history {
	var only []history
	uuid = lower(uuid)
	for _, h := range list {
		if h.uuid == uuid {
			only = append(only, h)
		}
	}
	return only
}

func reachedMySQL(have, want []history) bool {
	for _, w := range want {
		i, found := slices.BinarySearchFunc(have, w.source, func(h history, s source) int { return h.compare(s) })
		if !found || !have[i].done.include(w.done) {
			return false
		}
	}
	return true
}

func mergeMySQL(a, b []history) []history {
	sets := map[source]intervals{}
	for _, h := range slices.Concat(a, b) {
		sets[h.source] = append(sets[h.source], h.done...)
	}
	return histories(sets)
}
