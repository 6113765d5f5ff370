package memory_test

import (
	"testing"

	"github.com/primebft/prime/storage"
	"github.com/primebft/prime/storage/memory"
	"github.com/primebft/prime/storage/storagetest"
)

func TestContract(t *testing.T) {
	storagetest.Run(t, func(_ *testing.T, s storagetest.Setup) (storagetest.Opener, bool) {
		return func() (storage.Log, error) { return memory.New(s.MaxBytes), nil }, false
	})
}
