// Package reply remembers the results of executed updates, within a budget, and hands them to whoever waits for them.
package reply

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/wire"
)

// Key names an update.
type Key struct {
	Client wire.ClientID
	Seq    uint64
}

// Reply is the outcome of an update at this replica: its place and result, or why it has none.
type Reply struct {
	Key
	Epoch   uint32
	Ordinal uint64
	Index   uint32
	Result  []byte
	Refused effect.Why // 0: executed; the other fields but Key mean something only then
}
