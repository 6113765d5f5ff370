package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/primebft/prime/internal/group"
)

// reconSize is a part without the name of the request, the origin's proof, the path and the part.
const reconSize = digestSize + 4

// partSize is the length of each part of a content of which enough parts give it back.
func partSize(length, enough int) int {
	if enough < 1 {
		return 0
	}
	return (length + enough - 1) / enough
}

// partPathLen is the height of the tree over the parts for n replicas.
func partPathLen(n int) int { return bits.Len(uint(n - 1)) }

// Size is how many bytes the part takes of a RECON.
func (m *Part) Size() int {
	return m.ID.size() + reconSize + proofSize + (len(m.Origin.Path)+len(m.Path))*digestSize + len(m.Bytes)
}

func (m *Parts) size() int {
	size := 1
	for i := range m.List {
		size += m.List[i].Size()
	}
	return size
}

func (m *Parts) appendBody(b []byte) []byte {
	b = append(b, byte(len(m.List)))
	for i := range m.List {
		b = m.List[i].append(b)
	}
	return b
}

func (m *Part) append(b []byte) []byte {
	b = append(appendID(b, m.ID), m.Digest[:]...)
	b = binary.LittleEndian.AppendUint32(b, m.Length)
	b = m.Origin.append(b)
	for i := range m.Path {
		b = append(b, m.Path[i][:]...)
	}
	return append(b, m.Bytes...)
}

// recon reads a RECON of sender.
func (l *Limits) recon(r *Reader, sender group.ID) *Parts {
	n, size := int(r.U8()), 0
	r.Check(n >= 1 && n <= MaxParts, "number of parts")
	m := &Parts{}
	for i := 0; i < n && r.Err() == nil; i++ {
		m.List = append(m.List, l.part(r, sender))
		size += m.List[i].Size()
		r.Check(i == 0 || m.List[i-1].ID.before(m.List[i].ID), "requests do not ascend")
		r.Check(n == 1 || size <= ReconBytes, "more bytes of parts than go together")
	}
	return m
}

// before reports whether a request comes before another in a RECON.
func (id PreorderID) before(other PreorderID) bool {
	if id.Origin != other.Origin {
		return id.Origin < other.Origin
	}
	return id.Position.Less(other.Position)
}

// Find is the part of a request; nil if there is none.
func (m *Parts) Find(id PreorderID) *Part {
	for i := range m.List {
		if m.List[i].ID == id {
			return &m.List[i]
		}
	}
	return nil
}

// Of is the part that claims to be one of the PO-REQUEST e; nil if there is none.
func (m *Parts) Of(e *Envelope) *Part {
	for i := range m.List {
		if m.List[i].Names(e) {
			return &m.List[i]
		}
	}
	return nil
}

// part reads one part of sender. The lengths of path and part follow from the group and from Length.
func (l *Limits) part(r *Reader, sender group.ID) (m Part) {
	m = Part{ID: l.preorderID(r), Digest: r.Digest(), Length: r.U32()}
	most := l.MaxFrame(KindPreorderRequest) - batchSize + headerSize
	if l.Enough < 1 || int64(m.Length) > int64(most) || m.Length < headerSize {
		r.Fail("length of the request")
		return m
	}
	m.Origin.readShort(r)
	if m.Path = make([]Digest, partPathLen(l.N)); len(m.Path)*digestSize > r.Len() {
		r.Fail(Truncated)
		return m
	}
	for i := range m.Path {
		m.Path[i] = r.Digest()
	}
	m.Bytes = r.Bytes(partSize(int(m.Length), l.Enough))
	if r.Err() == nil {
		m.Root = PartRoot(sender.Index(), m.Length, m.Bytes, m.Path)
	}
	return m
}

// append appends a proof that is not the end of an envelope.
func (p *Proof) append(b []byte) []byte {
	b = append(b, p.Count, p.Index)
	for i := range p.Path {
		b = append(b, p.Path[i][:]...)
	}
	return append(b, p.Sig[:]...)
}

// readShort reads what append wrote; other fields follow.
func (p *Proof) readShort(r *Reader) {
	p.Count, p.Index = r.U8(), r.U8()
	if p.Count < 1 || p.Count > MaxBatch || p.Index >= p.Count {
		r.Fail("place in the batch")
		return
	}
	if n := pathLen(p.Count); n > 0 && n*digestSize <= r.Len() {
		p.Path = make([]Digest, n)
		for i := range p.Path {
			p.Path[i] = r.Digest()
		}
	} else if n > 0 {
		r.Fail(Truncated)
	}
	copy(p.Sig[:], r.Bytes(len(p.Sig)))
}

// Restore is the whole PO-REQUEST as it travels: content, which the parts gave back, and the proof of the origin in m.
func (m *Part) Restore(content []byte) []byte {
	e := Envelope{Content: content}
	e.Finish(m.Origin)
	return e.Raw
}

// Names reports whether e is the PO-REQUEST that m claims to be a part of.
func (m *Part) Names(e *Envelope) bool {
	request, ok := e.Msg.(*PreorderRequest)
	return ok && e.Digest == m.Digest && e.Sender == m.ID.Origin && e.Incarnation == m.ID.Incarnation && request.Seq == m.ID.Seq
}

// partLeaf is the leaf of the part of replica index.
func partLeaf(index int, length uint32, part []byte) (d Digest) {
	h := sha256.New()
	h.Write([]byte(domainPart))
	h.Write([]byte{byte(index)})
	var word [4]byte
	binary.LittleEndian.PutUint32(word[:], length)
	h.Write(word[:])
	h.Write(part)
	h.Sum(d[:0])
	return d
}

func partNode(left, right *Digest) Digest {
	var b [len(domainPartNode) + 2*digestSize]byte
	n := copy(b[:], domainPartNode)
	n += copy(b[n:], left[:])
	copy(b[n:], right[:])
	return sha256.Sum256(b[:])
}

// PartRoot is the root of the tree in which the part of replica index, of a content of so many bytes, has this path.
func PartRoot(index int, length uint32, part []byte, path []Digest) Digest {
	d := partLeaf(index, length, part)
	for level := range path {
		if index>>level&1 == 0 {
			d = partNode(&d, &path[level])
		} else {
			d = partNode(&path[level], &d)
		}
	}
	return d
}

// PartTree is the root of the tree over the parts of a content of so many bytes, one for each replica, and the path of one of
// them. Where there is no replica the leaf is zero, which no part has.
func PartTree(parts [][]byte, length uint32, index int) (root Digest, path []Digest) {
	nodes := make([]Digest, 1<<partPathLen(len(parts)))
	for i := range parts {
		nodes[i] = partLeaf(i, length, parts[i])
	}
	path = make([]Digest, 0, partPathLen(len(parts)))
	for ; len(nodes) > 1; index /= 2 {
		path = append(path, nodes[index^1])
		for i := range len(nodes) / 2 {
			nodes[i] = partNode(&nodes[2*i], &nodes[2*i+1])
		}
		nodes = nodes[:len(nodes)/2]
	}
	return nodes[0], path
}
