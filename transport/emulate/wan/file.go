package wan

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/primebft/prime/config"
)

// maxFile is the largest profile that is read, bytes.
const maxFile = 1 << 20

// Find returns the preset of that name, or the profile in the file of that name.
func Find(name string) (Profile, error) {
	if p, ok := Preset(name); ok {
		return p, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return Profile{}, &config.Problem{What: fmt.Sprintf("%.80q is no profile and no file", name),
			Remedy: "give a file, or one of " + strings.Join(Presets(), ", ")}
	}
	if err != nil {
		return Profile{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Profile{}, err
	}
	return Parse(name, data)
}

// document is a profile as a file has it.
type document struct {
	Name    string        `toml:"name"`
	Preset  string        `toml:"preset"`
	Link    settings      `toml:"link"`
	Inside  settings      `toml:"inside"`
	Uplink  rateSettings  `toml:"uplink"`
	Site    []siteTable   `toml:"site"`
	Between []betweenPart `toml:"between"`
	Event   []eventPart   `toml:"event"`
}

type siteTable struct {
	Name     string `toml:"name"`
	Replicas []int  `toml:"replicas"`
}

type betweenPart struct {
	From   string `toml:"from"`
	To     string `toml:"to"`
	OneWay bool   `toml:"one_way"`
	settings
}

type eventPart struct {
	At   duration `toml:"at"`
	Ramp duration `toml:"ramp"`
	From []int    `toml:"from"`
	To   []int    `toml:"to"`
	Both bool     `toml:"both"`
	settings
}

// settings are what a table says about a link; nil: nothing.
type settings struct {
	Delay     *duration `toml:"delay"`
	Jitter    *jitter   `toml:"jitter"`
	Loss      *loss     `toml:"loss"`
	Duplicate *float64  `toml:"duplicate"`
	Reorder   *bool     `toml:"reorder"`
	MTU       *int      `toml:"mtu"`
	Down      *bool     `toml:"down"`
	rateSettings
}

type rateSettings struct {
	RateBits *int64    `toml:"rate_bits"`
	Burst    *int      `toml:"burst"`
	Queue    *duration `toml:"queue"`
}

// Parse reads a profile from a file's text; file is its name in messages. It is strict: what it does not know is a fault.
func Parse(file string, data []byte) (Profile, error) {
	if len(data) > maxFile {
		return Profile{}, &config.Problem{File: file, What: "it is larger than 1 MiB", Remedy: "is it the right file?"}
	}
	if strings.Count(string(data), "[") > maxBrackets || strings.Count(string(data), "{") > maxBrackets {
		return Profile{}, &config.Problem{File: file, What: "it has too many tables", Remedy: "is it the right file?"}
	}
	var d document
	meta, err := toml.Decode(string(data), &d)
	if err != nil {
		return Profile{}, syntax(file, err)
	}
	var problems []*config.Problem
	for _, key := range meta.Undecoded() {
		problems = append(problems, &config.Problem{File: file, Field: fmt.Sprintf("%.80s", key), What: "there is no such setting",
			Remedy: "docs/testing.md lists them; remove it"})
		if len(problems) == 100 {
			break
		}
	}
	p, err := d.profile()
	for _, q := range append(problems, config.Problems(err)...) {
		q.File = file
	}
	return p, errors.Join(join(problems), err)
}

// maxBrackets bounds how deep the parser can be made to recurse.
const maxBrackets = 20_000

// wrongType is how the parser words an error about a value's type, which has no position of its own.
var wrongType = regexp.MustCompile(`^toml: line (\d+) \(last key "([^"]*)"\): (.*)$`)

// syntax is what the parser says about a file.
func syntax(file string, err error) error {
	p := &config.Problem{File: file, What: fmt.Sprintf("%.200s", err), Remedy: "docs/testing.md shows how it is written"}
	if at, ok := errors.AsType[toml.ParseError](err); ok {
		p.Line, p.Field, p.What = at.Position.Line, fmt.Sprintf("%.80s", at.LastKey), fmt.Sprintf("%.200s", at.Message)
	} else if m := wrongType.FindStringSubmatch(err.Error()); m != nil {
		p.Field, p.What = fmt.Sprintf("%.80s", m[2]), fmt.Sprintf("%.200s", m[3])
		p.Line, _ = strconv.Atoi(m[1])
	}
	return p
}

func (d *document) profile() (Profile, error) {
	var p Profile
	if d.Preset != "" {
		var ok bool
		if p, ok = Preset(d.Preset); !ok {
			return p, &config.Problem{Field: "preset", What: fmt.Sprintf("there is no profile %.40q", d.Preset),
				Remedy: "use one of " + strings.Join(Presets(), ", ")}
		}
	}
	if d.Name != "" {
		p.Name = d.Name
	}
	d.Link.apply(&p.Link)
	d.Inside.apply(&p.Inside)
	d.Uplink.apply(&p.Uplink)
	if len(d.Site) > 0 {
		p.Sites, p.Between = nil, nil
	}
	for _, s := range d.Site {
		p.Sites = append(p.Sites, Site{Name: s.Name, Replicas: s.Replicas})
	}
	var between []Between
	for _, b := range d.Between {
		link := p.Link
		b.apply(&link)
		between = append(between, Between{From: b.From, To: b.To, OneWay: b.OneWay, Link: link})
	}
	p.Between = append(between, p.Between...) // the first that fits holds
	for _, e := range d.Event {
		p.Events = append(p.Events, Event{
			At: time.Duration(e.At), Ramp: time.Duration(e.Ramp), From: e.From, To: e.To, Both: e.Both, Change: e.apply,
		})
	}
	return p, nil
}

// set changes what a setting says, if it is given.
func set[T, S any](dst *T, value *S, convert func(S) T) {
	if value != nil {
		*dst = convert(*value)
	}
}

func same[T any](v T) T { return v }

func (s *settings) apply(l *Link) {
	set(&l.Delay, s.Delay, duration.value)
	set(&l.Jitter, s.Jitter, func(j jitter) Jitter { return Jitter(j) })
	set(&l.Loss, s.Loss, func(x loss) Loss { return Loss(x) })
	set(&l.Duplicate, s.Duplicate, same)
	set(&l.Reorder, s.Reorder, same)
	set(&l.MTU, s.MTU, same)
	set(&l.Down, s.Down, same)
	s.rateSettings.apply(&l.Rate)
}

func (s *rateSettings) apply(r *Rate) {
	set(&r.Bits, s.RateBits, same)
	set(&r.Burst, s.Burst, same)
	set(&r.Queue, s.Queue, duration.value)
}

// duration is a time.Duration as files write it: "50ms".
type duration time.Duration

func (d duration) value() time.Duration { return time.Duration(d) }

// UnmarshalTOML implements toml.Unmarshaler.
func (d *duration) UnmarshalTOML(v any) error {
	text, _ := v.(string)
	got, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf(`%.40q is not a duration; write one like "500us", "50ms" or "5s"`, fmt.Sprint(v))
	}
	*d = duration(got)
	return nil
}

// jitter is a Jitter as files write it: "2ms", { mean = "1ms", sigma = "500us" } or ["0ms", "1ms", "20ms"].
type jitter Jitter

// UnmarshalTOML implements toml.Unmarshaler.
func (j *jitter) UnmarshalTOML(v any) error {
	*j = jitter{}
	var d duration
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if err := d.UnmarshalTOML(value); err != nil {
				return err
			}
			switch key {
			case "mean":
				j.Mean = d.value()
			case "sigma":
				j.Sigma = d.value()
			default:
				return fmt.Errorf("there is no %.40q in a jitter; write mean and sigma", key)
			}
		}
	case []any:
		for _, value := range v {
			if err := d.UnmarshalTOML(value); err != nil {
				return err
			}
			j.Table = append(j.Table, d.value())
		}
	default:
		if err := d.UnmarshalTOML(v); err != nil {
			return err
		}
		j.Uniform = d.value()
	}
	return nil
}

// loss is a Loss as files write it: 0.01, or { share = 0.02, burst = 5 } for 2 % in runs of 5 packets on average.
type loss Loss

// UnmarshalTOML implements toml.Unmarshaler.
func (l *loss) UnmarshalTOML(v any) error {
	*l = loss{}
	if p, ok := number(v); ok {
		l.Good = p
		return nil
	}
	table, _ := v.(map[string]any)
	share, hasShare := number(table["share"])
	length, hasLength := number(table["burst"])
	if len(table) != 2 || !hasShare || !hasLength {
		return errors.New("it is no loss; write a probability like 0.01, or { share = 0.02, burst = 5 }")
	}
	if !(share >= 0 && share <= 0.9) || !(length >= 1 && length <= 1e6) {
		return errors.New("it is not possible; write a share from 0 to 0.9 and a burst from 1 to 1_000_000 packets")
	}
	*l = loss(Bursts(share, length))
	if l.Enter > 1 {
		return errors.New("it is not possible; so large a share needs longer bursts")
	}
	return nil
}

// number is a number as the parser returns it.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	}
	return 0, false
}
