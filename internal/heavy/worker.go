// Package heavy does the jobs that the protocol core hands out (effect.Job): what takes too long for a step. It is pure: where
// and when a job is done is up to whoever owns the core, a node or the simulator.
package heavy

import (
	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/parts"
	"github.com/primebft/prime/internal/wire"
)

// Worker does jobs for one replica. It may be used by many goroutines at once if Verify may.
type Worker struct {
	self   group.ID
	code   *parts.Code
	limits wire.Limits
	verify func(*wire.Envelope) error
}

// New returns the worker of a replica. verify checks what came together from parts as if a peer had sent it.
func New(self group.ID, g group.Group, limits wire.Limits, verify func(*wire.Envelope) error) (*Worker, error) {
	code, err := parts.New(g)
	if err != nil {
		return nil, err
	}
	return &Worker{self: self, code: code, limits: limits, verify: verify}, nil
}

// Do does a job.
func (w *Worker) Do(j effect.Job) effect.Done {
	done := effect.Done{Job: j}
	if j.Request != nil {
		done.Part = w.code.Cut(j.Request, w.self)
	} else {
		done.Joined = w.join(j.ID, j.Parts)
	}
	return done
}

// join puts a request together and checks it: its digest, its name and its origin's signature. Each sender gives the proof
// that it has of the origin, and at least one of the senders is correct. Nil if the parts are none of the request that their
// senders say.
func (w *Worker) join(id wire.PreorderID, recons []*wire.Envelope) *wire.Envelope {
	content := w.code.Join(id, recons)
	if content == nil {
		return nil
	}
	for _, e := range recons {
		m := e.Msg.(*wire.Parts).Find(id)
		request, err := w.limits.Decode(m.Restore(content))
		if err == nil && m.Names(request) && w.verify(request) == nil {
			return request
		}
	}
	return nil
}
