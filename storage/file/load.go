package file

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/primebft/prime/storage"
)

// load finds the segments, checks every record, and cuts off what a loss of power left at the end.
func (l *Log) load() error {
	names, err := l.disk.List(l.dir)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	var found []segment
	for _, name := range names {
		if name == spareName { // it has nothing that counts
			if err := l.disk.Remove(l.sparePath()); err != nil {
				return fmt.Errorf("log: %w", err)
			}
			continue
		}
		stem, ok := strings.CutSuffix(name, ".log")
		first, err := strconv.ParseUint(stem, 10, 64)
		if !ok || err != nil || len(stem) != 20 || first == 0 {
			return fmt.Errorf("%w: %s is not a part of it; move what does not belong there out of the folder",
				storage.ErrDamaged, filepath.Join(l.dir, name))
		}
		found = append(found, segment{path: filepath.Join(l.dir, name), first: first})
	}
	for i := range found {
		if i == 0 {
			l.next = found[i].first
		}
		if err := l.loadSegment(&found[i], i+1 == len(found)); err != nil {
			return err
		}
		if found[i].bytes > 0 {
			l.segments = append(l.segments, found[i])
			l.bytes += found[i].bytes
		}
	}
	l.buffer = nil // for the next segment it was of use, for commits it is too large
	return nil
}

// loadSegment checks one segment. One that was being made when the power went has no bytes afterwards.
func (l *Log) loadSegment(s *segment, last bool) error {
	if s.first != l.next {
		return damaged(s.path, l.next, fmt.Sprintf("the segment that should begin with it begins with record %d", s.first))
	}
	b, err := l.disk.Read(s.path, l.buffer)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	l.buffer = b
	format, owner, first, err := parseHeader(b)
	switch {
	case err != nil && last && len(b) <= headerSize:
		// Nothing is written to a segment before its header is durable.
		l.opts.Note(Cut{Path: s.path, Bytes: int64(len(b)), Number: l.next})
		if err := l.disk.Remove(s.path); err != nil {
			return fmt.Errorf("log: %w", err)
		}
		return l.disk.SyncDir(l.dir)
	case err != nil || format == Format && first != s.first:
		return damaged(s.path, s.first, "the beginning of the file is not that of a segment")
	case format != Format:
		return fmt.Errorf("%w: %s has format %d and this program reads format %d; start the replica with the version of Prime that "+
			"wrote it", storage.ErrVersion, s.path, format, Format)
	case owner != l.opts.Owner:
		return fmt.Errorf("%w: %s was written by %x and this is %x; every replica of every cluster needs a folder of its own",
			storage.ErrForeign, s.path, owner[:8], l.opts.Owner[:8])
	}
	at := headerSize
	for at < len(b) {
		e, err := parseRecord(b[at:])
		if err != nil || e.number != l.next {
			break
		}
		at += e.size
		l.next++
	}
	s.bytes = int64(at)
	if len(bytes.TrimLeft(b[at:], "\x00")) == 0 {
		return nil
	}
	if !last {
		return damaged(s.path, l.next, fmt.Sprintf("it is unreadable at byte %d, and later segments exist", at))
	}
	if proves(b[at:], l.next) {
		return damaged(s.path, l.next, fmt.Sprintf("it is unreadable at byte %d, and what follows was written after it was durable", at))
	}
	l.opts.Note(Cut{Path: s.path, Offset: int64(at), Bytes: int64(len(b) - at), Number: l.next})
	if err := l.disk.Cut(s.path, int64(at)); err != nil {
		return fmt.Errorf("log: the torn end of %s cannot be cut off: %w", s.path, err)
	}
	return nil
}

func damaged(path string, number uint64, why string) error {
	return fmt.Errorf("%w: %s: record %d is not there as it was committed: %s. The replica can no longer know what it has signed, and "+
		"must not start with this folder, nor with an older copy of it; keep the folder to find the cause, and replace the replica",
		storage.ErrDamaged, path, number, why)
}
