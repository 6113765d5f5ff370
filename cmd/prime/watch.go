package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/primebft/prime/app"
)

// watchCmd is prime watch.
type watchCmd struct {
	Dir   string `required:"" help:"The folder of the running replica, for example demo/r1."`
	From  uint64 `placeholder:"ORDINAL" help:"First ordinal; from now on if not given."`
	Count uint64 `help:"Stop after so many records, no-ops included; never if not given."`
	JSON  bool   `name:"json" help:"Print one JSON object per record; the payload is in base64."`
}

// Help is shown below the flags.
func (*watchCmd) Help() string {
	return `Prints the ordered stream, a record per line: epoch, ordinal, index, total, origin, client, seq, payload. The origin of a
no-op is -, and its client is all zero. A payload with characters that do not print is quoted, as an empty one is.

Example:
  prime watch --dir demo/r1
  prime watch --dir demo/r1 --from 1 --count 10 --json`
}

// watched is a record as scripts see it.
type watched struct {
	Epoch   uint32 `json:"epoch"`
	Ordinal uint64 `json:"ordinal"`
	Index   uint32 `json:"index"`
	Total   uint32 `json:"total"`
	Origin  int    `json:"origin"` // 0 for a no-op
	Client  string `json:"client"` // hex
	Seq     uint64 `json:"seq"`
	Time    int64  `json:"time"`    // ordered time, Unix nanoseconds
	Payload []byte `json:"payload"` // base64
}

// errEnough ends a watch that has seen what it wanted.
var errEnough = errors.New("enough")

// dialTimeout is how long a running replica may take to answer.
const dialTimeout = 5 * time.Second

// Run watches.
func (c *watchCmd) Run(g *globals) error {
	client, err := dial(g.ctx, c.Dir, dialTimeout)
	if err != nil {
		return err
	}
	defer client.Close()
	defer notifyBrokenPipe()()
	out := bufio.NewWriterSize(g.out, 64<<10)
	var line []byte
	seen := uint64(0)
	err = client.Watch(g.ctx, c.From, func(records []app.Record) error {
		for i := range records {
			if line, err = c.format(line[:0], &records[i]); err != nil {
				return err
			}
			if _, err := out.Write(line); err != nil {
				return err
			}
			if seen++; seen == c.Count {
				return errors.Join(errEnough, out.Flush())
			}
		}
		return out.Flush()
	})
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe): // whoever read has seen what it wanted
		return nil
	case errors.Is(err, errEnough), g.ctx.Err() != nil:
		return out.Flush()
	}
	return err
}

// format appends the line of a record.
func (c *watchCmd) format(b []byte, r *app.Record) ([]byte, error) {
	if c.JSON {
		payload := r.Payload
		if payload == nil {
			payload = []byte{} // "" and not null
		}
		text, err := json.Marshal(watched{r.Epoch, r.Ordinal, r.Index, r.Total, r.Origin, hex.EncodeToString(r.Client[:]), r.Seq,
			r.Time, payload})
		return append(append(b, text...), '\n'), err
	}
	origin := "-"
	if !r.NoOp() {
		origin = "r" + strconv.Itoa(r.Origin)
	}
	b = fmt.Appendf(b, "%d %d %d %d %s %x %d ", r.Epoch, r.Ordinal, r.Index, r.Total, origin, r.Client, r.Seq)
	if plain(r.Payload) {
		b = append(b, r.Payload...)
	} else {
		b = strconv.AppendQuote(b, string(r.Payload))
	}
	return append(b, '\n'), nil
}

// plain reports whether a payload can be shown as it is: it has only characters that print, and cannot be taken for a quoted one.
func plain(payload []byte) bool {
	if len(payload) == 0 || payload[0] == '"' {
		return false
	}
	for len(payload) > 0 {
		r, size := utf8.DecodeRune(payload)
		if r == utf8.RuneError && size <= 1 || !unicode.IsPrint(r) {
			return false
		}
		payload = payload[size:]
	}
	return true
}
