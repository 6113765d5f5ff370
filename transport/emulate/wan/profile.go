package wan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/group"
)

// Profile is a network: what the links between replicas are like, and what happens to them.
type Profile struct {
	Name    string
	Link    Link      // between replicas of different sites, unless Between says otherwise; without sites, of every link
	Inside  Link      // between replicas of one site
	Uplink  Rate      // what all links of one replica share, outgoing
	Sites   []Site    //
	Between []Between //
	Events  []Event   // in any order; at the same time, the later in the list wins
}

// Site is a place where replicas are.
type Site struct {
	Name     string
	Replicas []int // none at any site: the replicas are dealt out, r1 to the first site, r2 to the second, and so on in turn
}

// Between is the link between two sites.
type Between struct {
	From, To string // names of sites
	OneWay   bool   // only from From to To; otherwise both ways
	Link     Link
}

// Event is a change of links at a time.
type Event struct {
	At       time.Duration // since the links were made
	Ramp     time.Duration // how long delays, rates and probabilities take to change evenly; 0: at once
	From, To []int         // links from these replicas to those; none: all replicas
	Both     bool          // and those in the opposite direction
	Change   func(*Link)   // makes the new link of the one that was
}

// maxEvents is how many events a profile may have.
const maxEvents = 1000

// Validate names every fault that the profile has for n replicas.
func (p *Profile) Validate(n int) error {
	c := checker{}
	c.problems = append(c.problems, p.Link.Validate("link")...)
	c.problems = append(c.problems, p.Inside.Validate("inside")...)
	c.problems = append(c.problems, p.Uplink.Validate("uplink")...)
	p.checkSites(&c, n)
	for i := range p.Between {
		b, field := &p.Between[i], element("between", i)
		c.problems = append(c.problems, b.Link.Validate(field)...)
		for _, s := range [...]struct{ field, name string }{{"from", b.From}, {"to", b.To}} {
			if p.site(s.name) < 0 {
				c.fault(field+"."+s.field, fmt.Sprintf("there is no site %.40q", s.name), "name one of the sites")
			}
		}
	}
	if len(p.Events) > maxEvents {
		c.fault("event", fmt.Sprintf("there are %d", len(p.Events)), fmt.Sprintf("at most %d are possible", maxEvents))
		return join(c.problems)
	}
	for i := range p.Events {
		p.Events[i].check(&c, element("event", i), n)
	}
	if len(c.problems) == 0 {
		p.checkSteps(&c, n)
	}
	return join(c.problems)
}

func (p *Profile) checkSites(c *checker, n int) {
	home := make([]string, n+1)
	names := map[string]bool{}
	explicit := 0
	for i, s := range p.Sites {
		field := element("site", i)
		if s.Name == "" || names[s.Name] {
			c.fault(field+".name", fmt.Sprintf("%.40q is empty or taken", s.Name), "give each site a name of its own")
		}
		names[s.Name] = true
		for _, id := range s.Replicas {
			explicit++
			switch {
			case id < 1 || id > n:
				c.fault(field+".replicas", fmt.Sprintf("there is no replica %d", id), fmt.Sprintf("give replicas from 1 to %d", n))
			case home[id] != "":
				c.fault(field+".replicas", fmt.Sprintf("replica %d is at %.40q already", id, home[id]), "put it at one site")
			default:
				home[id] = s.Name
			}
		}
	}
	for id := 1; id <= n && explicit > 0; id++ {
		if home[id] == "" {
			c.fault("site", fmt.Sprintf("replica %d is at no site", id), "put it at one, or leave out replicas at all sites")
		}
	}
}

func (e *Event) check(c *checker, field string, n int) {
	const limit = 30 * 24 * time.Hour
	for _, d := range [...]struct {
		field string
		d     time.Duration
	}{{"at", e.At}, {"ramp", e.Ramp}} {
		if d.d < 0 || d.d > limit {
			c.fault(field+"."+d.field, fmt.Sprintf("%s is not possible", d.d), "write a duration from 0s to 720h")
		}
	}
	for _, id := range slices.Concat(e.From, e.To) {
		if id < 1 || id > n {
			c.fault(field, fmt.Sprintf("there is no replica %d", id), fmt.Sprintf("give replicas from 1 to %d", n))
		}
	}
	if e.Change == nil {
		c.fault(field, "it changes nothing", "say what the links are like from then on")
	}
}

// checkSteps checks what the events make of links.
func (p *Profile) checkSteps(c *checker, n int) {
	for from := 1; from <= n; from++ {
		for to := 1; to <= n; to++ {
			if to == from {
				continue
			}
			for _, s := range p.plan(from, to, 0).steps {
				if bad := s.link.Validate("event"); len(bad) > 0 {
					c.problems = append(c.problems, bad...)
					return // the same fault at many links
				}
			}
		}
	}
}

// site is the index of a site; -1 if there is none of that name.
func (p *Profile) site(name string) int {
	return slices.IndexFunc(p.Sites, func(s Site) bool { return s.Name == name })
}

// home is the index of the site of a replica; there must be sites.
func (p *Profile) home(id int) int {
	for i, s := range p.Sites {
		if slices.Contains(s.Replicas, id) {
			return i
		}
	}
	return (id - 1) % len(p.Sites)
}

// Between replicas from and to, when nothing has happened yet.
func (p *Profile) between(from, to int) Link {
	if len(p.Sites) == 0 {
		return p.Link
	}
	a, b := p.home(from), p.home(to)
	if a == b {
		return p.Inside
	}
	for i := range p.Between {
		x := &p.Between[i]
		f, t := p.site(x.From), p.site(x.To)
		if f == a && t == b || !x.OneWay && f == b && t == a {
			return x.Link
		}
	}
	return p.Link
}

// concerns reports whether an event changes a link.
func (e *Event) concerns(from, to int) bool {
	has := func(list []int, id int) bool { return len(list) == 0 || slices.Contains(list, id) }
	return has(e.From, from) && has(e.To, to) || e.Both && has(e.From, to) && has(e.To, from)
}

// plan is one link over time.
func (p *Profile) plan(from, to int, start clock.Instant) plan {
	l := p.between(from, to)
	result := plan{current: &l}
	events := slices.Clone(p.Events)
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	was := &l
	for i := range events {
		e := &events[i]
		if !e.concerns(from, to) {
			continue
		}
		next := *was
		e.Change(&next)
		result.steps = append(result.steps, step{at: start.Add(e.At), ramp: e.Ramp, was: was, link: &next})
		was = &next
	}
	return result
}

// Slowest is the longest delay between any two of n replicas before any event, for whoever chooses timers: with all jitter, of
// which a normal one is hardly ever above six sigma.
func (p *Profile) Slowest(n int) time.Duration {
	var most time.Duration
	for from := 1; from <= min(n, group.MaxReplicas); from++ {
		for to := 1; to <= n; to++ {
			if to != from {
				l := p.between(from, to)
				most = max(most, l.Delay+l.Jitter.most())
			}
		}
	}
	return most
}

// Loses reports whether any link of n replicas loses or doubles packets by itself, now or later: only datagrams can be lost.
func (p *Profile) Loses(n int) bool {
	for from := 1; from <= n; from++ {
		for to := 1; to <= n; to++ {
			if to == from {
				continue
			}
			plan := p.plan(from, to, 0)
			if plan.current.Loses() || slices.ContainsFunc(plan.steps, func(s step) bool { return s.link.Loses() }) {
				return true
			}
		}
	}
	return false
}

// element is the name of the i-th table of an array, as in messages about other files: counted from 1.
func element(name string, i int) string { return fmt.Sprintf("%s[%d]", name, i+1) }

// join makes one error of many faults; nil if there are none.
func join(problems []*config.Problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}
