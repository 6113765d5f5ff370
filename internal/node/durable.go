package node

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/sign"
	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/file"
)

// LogFolder is the folder, in a durable replica's folder, that its log is in.
const LogFolder = "journal"

// ErrStorage says that a durable replica cannot use its log, and stopped rather than forget what it signed.
var ErrStorage = errors.New("replica's log cannot be used")

func (n *Node) durable() bool { return n.cfg.Node.Storage.Mode == config.StorageDurable }

// openLog opens the log of a durable replica and returns what its core is made with, and what it has to be given again if it
// has run before. usable says whether the application can go on from an ordinal.
func (n *Node) openLog(c core.Config, signer *sign.Signer, o Options, usable func(uint64) bool) (core.Config, *restoration, error) {
	if !n.durable() {
		return c, nil, nil
	}
	limit := int64(n.cfg.Node.Storage.MaxBytes)
	dir := filepath.Join(n.cfg.Dir, LogFolder)
	log, err := file.Open(dir, file.Options{Owner: n.owner(), MaxBytes: limit, Disk: o.Disk, SegmentBytes: o.SegmentBytes, Prepare: background, Note: func(cut file.Cut) {
		n.log.Warn("the end of the log had not been written completely when this replica stopped, and was cut off; nothing that followed "+
			"from it had left", "file", cut.Path, "offset", cut.Offset, "bytes", cut.Bytes)
	}})
	if err != nil {
		return c, nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	start, begun, err := begin(log, c, n.folder.Used(), usable)
	if err != nil {
		return c, nil, errors.Join(fmt.Errorf("%w: %w", ErrStorage, err), log.Close())
	}
	timing := c.Timing
	c.Wall, c.Seed, c.Limits, c.Timing = start.Wall, start.Seed, start.Limits, start.Timing
	n.journal = newJournal(log, limit, n.log, n.broke)
	n.journal.start, n.journal.images.has = start.Began, usable
	if !begun {
		return c, nil, nil
	}
	n.journal.began(&start)
	n.log.Info("this replica has run before and continues", "log_bytes", log.Extent().Bytes, "from_ordinal", start.Ordinal)
	past := &restoration{log: log, start: start, header: n.keyring.Header(n.self), complete: signer.Complete, do: n.jobs.do,
		limits: wireLimits(n.cfg.Cluster, n.keyring.Group()), timing: timing, say: n.log}
	return c, past, nil
}

// background does work on a goroutine of its own.
func background(work func()) { go work() }

// owner is whose log it is: of this replica, of this incarnation, under this configuration.
func (n *Node) owner() [32]byte {
	h, digest := n.keyring.Header(n.self), n.cfg.Cluster.Digest()
	b := append([]byte("prime-log-v1\x00"), n.cfg.Cluster.ID[:]...)
	b = append(append(b, digest[:]...), byte(n.self))
	b = binary.LittleEndian.AppendUint32(b, h.Epoch)
	return sha256.Sum256(binary.LittleEndian.AppendUint32(b, h.Incarnation))
}

// broke ends the replica because its log cannot be used: it signs nothing that it might forget. To its peers it has crashed.
func (n *Node) broke(err error) {
	why := fmt.Sprintf("%v: %v", ErrStorage, err)
	if !n.crash.CompareAndSwap(nil, &why) {
		return
	}
	n.unusable.Store(true)
	n.loop.submits.close()
	n.log.Error("this replica's log cannot be used, and it stops rather than forget what it signs; the others go on without it. "+remedy(err),
		"error", err)
	go n.CloseNow()
}

// remedy is what people can do about it.
func remedy(err error) string {
	if errors.Is(err, storage.ErrFull) {
		return "Make room on the disk, or raise storage.max_bytes in node.toml, and start it again: it continues"
	}
	return "Once the cause is mended it can be started again, if the log is whole then"
}

// storage is what Status says of the log.
func (n *Node) storage() Storage {
	s := Storage{Mode: string(n.cfg.Node.Storage.Mode)}
	if n.durable() {
		s.LogBytes, s.MaxBytes, s.Start = n.journal.size(), int64(n.cfg.Node.Storage.MaxBytes), n.loop.started.Load()
	}
	return s
}
