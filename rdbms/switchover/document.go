package switchover

import (
	"maps"
	"time"
)

// Doc is the state document: which DC is the primary, what is read-only, which DCs are pooled. FORMAT.md beside
// this file shows it as JSON.
//
// Fields that this version does not know are kept inside and written back, at every level.
type Doc struct { //nolint:recvcheck // what users call takes a value, as json needs; what is inside spares the copy
	Epoch        uint64            // rises with every change of the primary or of a read-only entry; from 1
	Primary      string            // the DC that takes the writes; one of DCs, and pooled
	PrimaryEpoch uint64            // the Epoch at which Primary last changed
	DCs          map[string]DC     // by name
	ReadOnly     *Window           // the whole application is read-only; nil = it is not
	Sections     map[string]string // why a section of the data is read-only, by its name
	Rollout      *Rollout          // overrides of the router's rollout; nil = none
	Updated      Stamp             // the last write

	unknown unknown
}

// DC is what the document says of one datacenter.
type DC struct {
	Pooled   bool   // traffic may be sent there
	ReadOnly string // why this DC takes no writes; "" = it does, as far as this entry goes

	unknown unknown
}

// Window is a read-only time of the whole application.
type Window struct {
	Reason string    // for people; required
	Since  time.Time // zero = not told
	Until  time.Time // when it should be over: shown, and turned into Retry-After; nothing ends by it. Zero = not told
	By     string    // who set it

	unknown unknown
}

// Rollout overrides, host by host, the share of clients that are served where they arrive. Package dcroute has
// the meaning of modes and shares.
type Rollout struct {
	Default *Rule           // for hosts that match none; nil = no override for these
	Hosts   map[string]Rule // by host, or by "*." and a suffix: "*.example.org" is every host below example.org

	unknown unknown
}

// Rule is the override for the hosts of one pattern. The kill switch is {Mode: "primary", Share: 10000}.
type Rule struct {
	Mode  string // "primary", "local-anon", "local"; "" = the default rule's, or the router's own
	Share int    // of the clients, in hundredths of a percent: 0 to 10,000
	Salt  string // reshuffles the clients; "" as for Mode

	unknown unknown
}

// Stamp says who wrote the document, and when. State.Update sets it.
type Stamp struct {
	At time.Time
	By string
	ID string // 128 random bits: how a writer whose answer was lost knows its own write again

	unknown unknown
}

// unknown holds the fields of a later version, as they came. It is never changed after parsing, so copies
// share it.
type unknown map[string][]byte

// ReadOnlyFor returns why data of section may not be written in dc, and when that should be over, if the
// document tells. An empty reason means that it may be written. The first entry of these wins: the whole
// application's, the DC's, the section's; a DC that the document does not list takes no writes either.
// An empty section asks for no section's entry.
func (d Doc) ReadOnlyFor(dc, section string) (reason string, until time.Time) {
	return d.readOnlyFor(dc, section)
}

// readOnlyFor spares the request path the copy of the document.
func (d *Doc) readOnlyFor(dc, section string) (reason string, until time.Time) {
	if d.ReadOnly != nil {
		return d.ReadOnly.Reason, d.ReadOnly.Until
	}
	entry, listed := d.DCs[dc]
	switch {
	case !listed:
		return "DC " + dc + " is not in the state document", time.Time{}
	case entry.ReadOnly != "":
		return entry.ReadOnly, time.Time{}
	case section == "" || len(d.Sections) == 0:
		return "", time.Time{}
	}
	return d.Sections[section], time.Time{}
}

// clone returns a copy that shares nothing that can be changed.
func (d *Doc) clone() Doc {
	c := *d
	c.DCs, c.Sections = maps.Clone(d.DCs), maps.Clone(d.Sections)
	if d.ReadOnly != nil {
		w := *d.ReadOnly
		c.ReadOnly = &w
	}
	if d.Rollout != nil {
		r := *d.Rollout
		r.Hosts = maps.Clone(r.Hosts)
		if r.Default != nil {
			rule := *r.Default
			r.Default = &rule
		}
		c.Rollout = &r
	}
	return c
}

// keepUnknown gives unknown fields back to what was replaced as a whole, as in d.DCs["b"] = DC{Pooled: true}:
// who does not know a field cannot have meant to remove it. What was removed takes its unknown fields along.
func (d *Doc) keepUnknown(before *Doc) {
	keep(&d.unknown, before.unknown)
	keep(&d.Updated.unknown, before.Updated.unknown)
	for name, dc := range d.DCs {
		keep(&dc.unknown, before.DCs[name].unknown)
		d.DCs[name] = dc
	}
	if d.ReadOnly != nil && before.ReadOnly != nil {
		keep(&d.ReadOnly.unknown, before.ReadOnly.unknown)
	}
	if d.Rollout != nil && before.Rollout != nil {
		d.Rollout.keepUnknown(before.Rollout)
	}
}

func (r *Rollout) keepUnknown(before *Rollout) {
	keep(&r.unknown, before.unknown)
	if r.Default != nil && before.Default != nil {
		keep(&r.Default.unknown, before.Default.unknown)
	}
	for host, rule := range r.Hosts {
		keep(&rule.unknown, before.Hosts[host].unknown)
		r.Hosts[host] = rule
	}
}

func keep(field *unknown, before unknown) {
	if *field == nil {
		*field = before
	}
}

// primaryChanged and readOnlyChanged are the two things that raise the epoch.
func (d *Doc) primaryChanged(before *Doc) bool { return d.Primary != before.Primary }

func (d *Doc) readOnlyChanged(before *Doc) bool {
	return !d.ReadOnly.equal(before.ReadOnly) ||
		!maps.Equal(d.Sections, before.Sections) ||
		!maps.Equal(d.readOnlyDCs(), before.readOnlyDCs())
}

func (d *Doc) readOnlyDCs() map[string]string {
	reasons := map[string]string{}
	for name, dc := range d.DCs {
		if dc.ReadOnly != "" {
			reasons[name] = dc.ReadOnly
		}
	}
	return reasons
}

func (w *Window) equal(other *Window) bool {
	if w == nil || other == nil {
		return w == other
	}
	return w.Reason == other.Reason && w.By == other.By &&
		stampText(w.Since) == stampText(other.Since) && stampText(w.Until) == stampText(other.Until)
}
