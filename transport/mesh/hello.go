package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/primebft/prime/transport"
)

// hello is what both ends of a new connection say first, inside TLS: the caller, then the listener with its answer. Both say
// all they know, so that both operators can read what does not match.
type hello struct {
	answer   answer // of the listener; welcome from the caller
	class    transport.Class
	from, to uint8
	epoch    uint32
	cluster  [32]byte
	config   [32]byte
}

// helloSize is the length of an encoded hello.
const helloSize = 4 + 4 + 32 + 32

// answer says whether a connection may be used.
type answer uint8

const (
	welcome answer = iota
	refused        // something in the hellos does not match
)

// errHello is a mismatch between two hellos, told from one end's point of view.
var errHello = errors.New("refused")

func (h hello) encode() []byte {
	b := []byte{byte(h.answer), byte(h.class), h.from, h.to}
	b = binary.LittleEndian.AppendUint32(b, h.epoch)
	b = append(b, h.cluster[:]...)
	return append(b, h.config[:]...)
}

func readHello(r io.Reader) (hello, error) {
	var b [helloSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return hello{}, err
	}
	h := hello{
		answer: answer(b[0]),
		class:  transport.Class(b[1]),
		from:   b[2],
		to:     b[3],
		epoch:  binary.LittleEndian.Uint32(b[4:]),
	}
	copy(h.cluster[:], b[8:])
	copy(h.config[:], b[40:])
	return h, nil
}

// reply is the hello with which a listener that would say mine answers.
func (h hello) reply(mine hello, a answer) hello {
	mine.answer, mine.class, mine.to = a, h.class, h.from
	return mine
}

// mismatch compares the hello of peer, whose key has been checked, with our own and says what does not match; nil if all does.
func (h hello) mismatch(own hello, peer int) error {
	name := fmt.Sprintf("r%d", peer)
	switch {
	case int(h.from) != peer:
		return fmt.Errorf("%w: %s has the key of %s but says that it is r%d", errHello, name, name, h.from)
	case h.to != own.from:
		return fmt.Errorf("%w: %s takes this replica for r%d; it is r%d", errHello, name, h.to, own.from)
	case h.cluster != own.cluster:
		return fmt.Errorf("%w: %s belongs to another cluster: id %s, ours %s", errHello, name, short(h.cluster[:]), short(own.cluster[:]))
	case h.epoch != own.epoch:
		return fmt.Errorf("%w: %s is in epoch %d, this replica in %d", errHello, name, h.epoch, own.epoch)
	case h.config != own.config:
		return fmt.Errorf("%w: %s runs another configuration: digest %s, ours %s",
			errHello, name, short(h.config[:]), short(own.config[:]))
	case h.class < transport.Timely || h.class > transport.Bulk:
		return fmt.Errorf("%w: %s asks for class %d, which does not exist", errHello, name, h.class)
	}
	return nil
}
