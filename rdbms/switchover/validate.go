package switchover

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/multidc/multidc/internal/dcname"
)

// How much a document may hold.
const (
	maxDCs      = 32
	maxSections = 1000
	maxHosts    = 1000
	maxShare    = 10000
	maxEpoch    = 1<<53 - 1 // what every JSON reader understands exactly
)

// Validate tells whether the document may be used, with an error that is [ErrInvalid] and names the field.
//
// On its own: the primary is one of the DCs, and pooled; 1 <= PrimaryEpoch <= Epoch; a read-only entry has a
// reason, and ends after it began; names, times, shares and sizes are within their bounds.
//
// After a document known before (nil = none): the epoch never falls; it rises if and only if the primary or a
// read-only entry changed; PrimaryEpoch becomes the new epoch if and only if the primary changed. Several
// changes may lie between the two documents, so whatever a series of valid ones leads to is valid. The error
// names the numbers that are needed.
func (d Doc) Validate(before *Doc) error {
	err := d.validAlone()
	if err == nil && before != nil {
		err = d.validAfter(before)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func (d *Doc) validAlone() error {
	for _, check := range []func() error{d.checkDCs, d.checkEpochs, d.checkReadOnly, d.checkSections, d.checkRollout, d.checkStamp} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (d *Doc) checkDCs() error {
	if len(d.DCs) > maxDCs {
		return fmt.Errorf("dcs has %d entries, more than %d", len(d.DCs), maxDCs)
	}
	for _, name := range slices.Sorted(maps.Keys(d.DCs)) {
		if err := dcname.Check(name); err != nil {
			return fmt.Errorf("dcs: %w", err)
		}
		if err := checkString("dcs."+name+".read_only", d.DCs[name].ReadOnly); err != nil {
			return err
		}
	}
	switch primary, listed := d.DCs[d.Primary]; {
	case d.Primary == "":
		return fmt.Errorf("primary is empty: name one of dcs")
	case !listed:
		return fmt.Errorf("primary %.40q is not in dcs", d.Primary)
	case !primary.Pooled:
		return fmt.Errorf("primary %q is not pooled: pool it, or move the primary first", d.Primary)
	}
	return nil
}

func (d *Doc) checkEpochs() error {
	if d.Epoch < 1 || d.Epoch > maxEpoch {
		return fmt.Errorf("epoch %d is not within 1 and %d", d.Epoch, uint64(maxEpoch))
	}
	if d.PrimaryEpoch < 1 || d.PrimaryEpoch > d.Epoch {
		return fmt.Errorf("primary_epoch %d is not within 1 and the epoch, %d", d.PrimaryEpoch, d.Epoch)
	}
	return nil
}

func (d *Doc) checkReadOnly() error {
	w := d.ReadOnly
	if w == nil {
		return nil
	}
	if err := checkReason("read_only.reason", w.Reason); err != nil {
		return err
	}
	if err := checkString("read_only.by", w.By); err != nil {
		return err
	}
	if err := checkTime("read_only.since", w.Since); err != nil {
		return err
	}
	if err := checkTime("read_only.until", w.Until); err != nil {
		return err
	}
	since, until := w.Since.Truncate(time.Millisecond), w.Until.Truncate(time.Millisecond)
	if !since.IsZero() && !until.IsZero() && !until.After(since) {
		return fmt.Errorf("read_only.until %s is not after since, %s", stampText(until), stampText(since))
	}
	return nil
}

func (d *Doc) checkSections() error {
	if len(d.Sections) > maxSections {
		return fmt.Errorf("sections has %d entries, more than %d", len(d.Sections), maxSections)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Sections)) {
		if !isName(name, 64, "ABCDEFGHIJKLMNOPQRSTUVWXYZ._") {
			return fmt.Errorf("sections: name %.80q is not 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-'", name)
		}
		if err := checkReason("sections."+name, d.Sections[name]); err != nil {
			return err
		}
	}
	return nil
}

func (d *Doc) checkRollout() error {
	if d.Rollout == nil {
		return nil
	}
	if d.Rollout.Default != nil {
		if err := d.Rollout.Default.check("rollout.default"); err != nil {
			return err
		}
	}
	if len(d.Rollout.Hosts) > maxHosts {
		return fmt.Errorf("rollout.hosts has %d entries, more than %d", len(d.Rollout.Hosts), maxHosts)
	}
	for _, pattern := range slices.Sorted(maps.Keys(d.Rollout.Hosts)) {
		if !isName(strings.TrimPrefix(pattern, "*."), 253, "._:") || strings.HasSuffix(pattern, ".") {
			return fmt.Errorf("rollout.hosts: pattern %.80q is neither a host in lower case nor \"*.\" and a suffix", pattern)
		}
		if err := d.Rollout.Hosts[pattern].check("rollout.hosts." + pattern); err != nil {
			return err
		}
	}
	return nil
}

// A mode that this version does not know is legal: the router takes it for "primary", which is always right.
func (r Rule) check(field string) error {
	if r.Mode != "" && !isName(r.Mode, 32, "") {
		return fmt.Errorf("%s.mode %.40q is not 1 to 32 of a-z, 0-9, '-'", field, r.Mode)
	}
	if r.Share < 0 || r.Share > maxShare {
		return fmt.Errorf("%s.share %d is not within 0 and %d", field, r.Share, maxShare)
	}
	return checkString(field+".salt", r.Salt)
}

func (d *Doc) checkStamp() error {
	if err := checkTime("updated.at", d.Updated.At); err != nil {
		return err
	}
	return checkString("updated", d.Updated.By+d.Updated.ID)
}

// validAfter judges the numbers against those of a document known before.
func (d *Doc) validAfter(before *Doc) error {
	moved := d.primaryChanged(before)
	changed := moved || d.readOnlyChanged(before)
	needed := max(d.Epoch, before.Epoch+1)
	switch {
	case d.Epoch < before.Epoch:
		return fmt.Errorf("epoch %d is below %d, which was seen before: an epoch never falls", d.Epoch, before.Epoch)
	case moved && d.PrimaryEpoch <= before.Epoch:
		return fmt.Errorf(`primary changed from %q to %q: needs "epoch":%d and "primary_epoch":%d, has %d and %d`,
			before.Primary, d.Primary, needed, needed, d.Epoch, d.PrimaryEpoch)
	case changed && d.Epoch == before.Epoch:
		return fmt.Errorf(`a read-only entry changed: needs "epoch":%d, has %d`, needed, d.Epoch)
	case !changed && d.Epoch == before.Epoch+1: // a rise by 2 may be there and back again
		return fmt.Errorf(`neither the primary nor a read-only entry changed: needs "epoch":%d, has %d`, before.Epoch, d.Epoch)
	case !moved && d.PrimaryEpoch != before.PrimaryEpoch && d.PrimaryEpoch < before.Epoch+2: // likewise
		return fmt.Errorf(`the primary did not change: needs "primary_epoch":%d, has %d`, before.PrimaryEpoch, d.PrimaryEpoch)
	}
	return nil
}

func checkReason(field, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return fmt.Errorf("%s is empty: people will want to know why", field)
	}
	return checkString(field, reason)
}

func checkString(field, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%s is not UTF-8", field)
	}
	return nil
}

// checkTime: four digits of a year, and none that would read as "not told".
func checkTime(field string, t time.Time) error {
	if year := t.UTC().Year(); !t.IsZero() && (year < 1970 || year > 9999) {
		return fmt.Errorf("%s is in the year %d: want 1970 to 9999", field, year)
	}
	return nil
}

// isName: 1 to most bytes of a-z, 0-9, '-' and those of more.
func isName(name string, most int, more string) bool {
	for i := range len(name) {
		c := name[i]
		if legal := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || strings.IndexByte(more, c) >= 0; !legal {
			return false
		}
	}
	return 1 <= len(name) && len(name) <= most
}
