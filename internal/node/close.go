package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/primebft/prime/app"
)

// grace is how long an end waits for the application to return from its last call, beyond the time to drain.
const grace = time.Second

// The states of a replica, as State has them; some are followed by a colon and details.
const (
	StateRunning           = "running"
	StateApplicationBehind = "application-behind"
	StateApplicationFailed = "application-failed"
	StateApplicationWaits  = "application-transferring" // for the state of others, at a transfer point, or of a checkpoint
	StateDraining          = "draining"
	StateRestoring         = "restoring" // what a durable replica was given before its start is being given to it again
	StateCrashed           = "crashed"
	StateClosed            = "closed"
)

// State is what the replica is doing, in a word and perhaps details: running, application-behind, application-failed,
// application-transferring, restoring, draining, crashed, closed.
func (n *Node) State() string {
	if what := n.crash.Load(); what != nil {
		return StateCrashed + ": " + *what
	}
	select {
	case <-n.stop:
		return StateClosed
	default:
	}
	if why := n.deliver.failure.Load(); why != nil {
		return fmt.Sprintf("%s: %s", StateApplicationFailed, firstLine(*why))
	}
	if b := n.records.app(); b.behind {
		return fmt.Sprintf("%s: missed from ordinal %d", StateApplicationBehind, b.until+1)
	}
	if b := n.records.app(); b.waits || n.deliver.calls.lost() {
		return StateApplicationWaits
	}
	if n.closing.Load() {
		return StateDraining
	}
	if n.Restoring() {
		return fmt.Sprintf("%s: %d %% of the log", StateRestoring, n.loop.restoration.percent())
	}
	return StateRunning
}

// Restoring reports whether the replica still goes through its log and takes no part in anything.
func (n *Node) Restoring() bool { return n.loop.restoring.Load() }

// Close refuses new updates, waits until those that were accepted have been executed and answered by the application, for
// Timing.Drain at most, and then ends the replica. An error says what was left undone. Only the first Close has an effect.
func (n *Node) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), n.cfg.Node.Timing.Drain)
	defer cancel()
	return n.end(n.Drain(ctx))
}

// CloseNow ends the replica at once. Updates that were accepted may or may not be executed by the others.
func (n *Node) CloseNow() error {
	n.shutInput()
	return n.end(nil)
}

// Drain refuses new updates and waits until those that were accepted have been executed and answered by the application.
func (n *Node) Drain(ctx context.Context) error {
	n.shutInput()
	drained := make(chan struct{})
	select {
	case n.loop.drain <- drained:
	case <-n.loopDone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("updates that were accepted have not been executed in time: %w", ctx.Err())
	}
	select {
	case <-drained:
	case <-n.loopDone:
	case <-ctx.Done():
		return fmt.Errorf("updates that were accepted have not been executed in time: %w", ctx.Err())
	}
	return nil
}

func (n *Node) shutInput() {
	n.closing.Store(true)
	n.loop.submits.close()
}

// end stops every goroutine, from the input to the output, and waits for it.
func (n *Node) end(err error) error {
	n.closeOnce.Do(func() {
		close(n.stop)
		n.checkpoints.end()
		<-n.loopDone
		n.pool.Close() // lets go of the transport's readers
		n.closeErr = errors.Join(err, n.net.Close())
		n.workers.Wait()
		if a, ok := n.deliver.app.(app.Interrupter); ok {
			a.Interrupt()
		}
		select {
		case <-n.deliver.ended:
		case <-time.After(grace):
			n.closeErr = errors.Join(n.closeErr, errors.New("the application has not returned from Deliver; its goroutine is left"))
		}
		n.closeErr = errors.Join(n.closeErr, n.folder.Release())
		close(n.done)
	})
	<-n.done
	return n.closeErr
}

// answered reports whether the application has dealt with every update up to an ordinal that this replica introduced, or
// never will. Other replicas' updates do not count: their clients have answers elsewhere, and an end need not wait for an
// application that is slow, or not there.
func (n *Node) answered(executed uint64) bool {
	if n.records.Position().Ordinal < executed {
		return false
	}
	b := n.records.app()
	return b.behind || b.taken >= b.own
}

// firstLine is a text without what follows its first line.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
