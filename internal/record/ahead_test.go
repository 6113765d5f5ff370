package record

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/memory"
)

// countedLog counts the records that have been read.
type countedLog struct {
	storage.Log
	read atomic.Int64
}

func (l *countedLog) Read(from uint64, each func(uint64, storage.Record) error) error {
	return l.Log.Read(from, func(number uint64, r storage.Record) error {
		l.read.Add(1)
		return each(number, r)
	})
}

// longLog is a log of so many records, each with one input.
func longLog(t *testing.T, records int) *countedLog {
	log := memory.New(0)
	all := []storage.Record{Began{Behaviour: core.Behaviour}.Record()}
	for range records {
		var w Writer
		w.Input(5, core.Tick, false, false)
		all = append(all, w.Take()...)
	}
	if err := log.Commit(all); err != nil {
		t.Fatal(err)
	}
	return &countedLog{Log: log}
}

// TestReplayReadsLittleAhead: however long the log is, only a few inputs wait for the core.
func TestReplayReadsLittleAhead(t *testing.T) {
	t.Parallel()
	const records = 20_000
	log := longLog(t, records)
	steps, most := int64(0), int64(0)
	err := NewReplay(header, as, decode, nil).Run(log, func(Entry) error {
		steps++
		most = max(most, log.read.Load()-steps)
		return nil
	})
	if err != nil || steps != records {
		t.Errorf("%d steps: %v", steps, err)
	}
	if bound := int64((batchesAhead + 3) * batchInputs); most > bound {
		t.Errorf("%d inputs were read ahead, more than %d", most, bound)
	}
}

// TestReplayStops: nothing goes on to read once a step, or the log, has failed; and what came before that was stepped.
func TestReplayStops(t *testing.T) {
	t.Parallel()
	log, enough, steps := longLog(t, 20_000), errors.New("that was enough"), 0
	err := NewReplay(header, as, decode, nil).Run(log, func(Entry) error {
		if steps++; steps == 700 {
			return enough
		}
		return nil
	})
	if read := log.read.Load(); !errors.Is(err, enough) || steps != 700 || read == 20_000 || log.read.Load() != read {
		t.Errorf("%d steps, %d records read: %v", steps, read, err)
	}
	log, steps = longLog(t, 700), 0
	if err := log.Commit([]storage.Record{{Kind: kindInputs, Data: []byte("nonsense, and long enough")}}); err != nil {
		t.Fatal(err)
	}
	err = NewReplay(header, as, decode, nil).Run(log, func(Entry) error { steps++; return nil })
	if !errors.Is(err, errBad) || steps != 700 {
		t.Errorf("%d steps before a bad record: %v", steps, err)
	}
}
