package file

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/primebft/prime/storage"
)

// Format is the version of the files that this package writes and reads.
const Format = 2

// spareName is the name of a segment that has been made ready and is not in use.
const spareName = "spare"

// Layout of a segment, numbers little-endian: a header of magic, format (u32), owner (32 bytes), number of the first record
// (u64) and CRC (u32) of all that; then records: CRC (u32) of what follows, length of the data (u32), kind (u8), number
// (u64), the number up to which all records were durable when this one was written (u64), data; then perhaps zeros, which were there
// before. CRCs are CRC-32C.
const (
	magic      = "primelog"
	headerSize = len(magic) + 4 + 32 + 8 + 4
	recordSize = 4 + 4 + 1 + 8 + 8 // without data
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the beginning of a segment.
func header(owner [32]byte, first uint64) []byte {
	b := append(make([]byte, 0, headerSize), magic...)
	b = binary.LittleEndian.AppendUint32(b, Format)
	b = append(b, owner[:]...)
	b = binary.LittleEndian.AppendUint64(b, first)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// errTorn says that bytes are not what they should be, for whatever reason.
var errTorn = errors.New("bytes that nobody wrote so")

// parseHeader reads the beginning of a segment. The format is known before anything else is believed.
func parseHeader(b []byte) (format uint32, owner [32]byte, first uint64, err error) {
	if len(b) < len(magic)+4 || string(b[:len(magic)]) != magic {
		return 0, owner, 0, errTorn
	}
	if format = binary.LittleEndian.Uint32(b[len(magic):]); format != Format && format != 0 {
		return format, owner, 0, nil
	}
	if len(b) < headerSize || crc32.Checksum(b[:headerSize-4], castagnoli) != binary.LittleEndian.Uint32(b[headerSize-4:]) {
		return 0, owner, 0, errTorn
	}
	copy(owner[:], b[len(magic)+4:])
	return format, owner, binary.LittleEndian.Uint64(b[len(magic)+36:]), nil
}

// appendRecord appends a record's encoding.
func appendRecord(b []byte, r storage.Record, number, durable uint64) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.Data)))
	b = append(b, r.Kind)
	b = binary.LittleEndian.AppendUint64(b, number)
	b = binary.LittleEndian.AppendUint64(b, durable)
	b = append(b, r.Data...)
	binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[at+4:], castagnoli))
	return b
}

// entry is a record as it is found in a segment.
type entry struct {
	storage.Record
	number, durable uint64
	size            int // of its encoding
}

// parseRecord reads the record at the beginning of b. Any bytes give one or errTorn; the data is part of b.
func parseRecord(b []byte) (e entry, err error) {
	if len(b) < recordSize {
		return e, errTorn
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if length > storage.MaxRecord || int(length) > len(b)-recordSize {
		return e, errTorn
	}
	e.number, e.durable = binary.LittleEndian.Uint64(b[9:]), binary.LittleEndian.Uint64(b[17:])
	if e.number == 0 || e.durable >= e.number {
		return e, errTorn
	}
	e.size = recordSize + int(length)
	if crc32.Checksum(b[4:e.size], castagnoli) != binary.LittleEndian.Uint32(b) {
		return e, errTorn
	}
	e.Kind, e.Data = b[8], b[recordSize:e.size:e.size]
	return e, nil
}

// proves finds a record in b, at any place, that says that record number had been durable before it was written. It is how a
// damaged log is told from one whose last commit was under way: nothing can follow a commit that did not end.
func proves(b []byte, number uint64) bool {
	for ; len(b) >= recordSize; b = b[1:] {
		if binary.LittleEndian.Uint64(b[17:]) < number || binary.LittleEndian.Uint64(b[9:])-number > 1<<40 {
			continue
		}
		if _, err := parseRecord(b); err == nil {
			return true
		}
	}
	return false
}
