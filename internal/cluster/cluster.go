// Package cluster runs all replicas of one cluster on this machine, each as a process of its own, or finds those that run
// already. The demo and the benchmark use it.
//
// A cluster that Start has made never outlives the program that made it: Stop ends every process, and where the system can,
// a program that dies takes them along.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/local"
)

// Options says which cluster to make and how to run it.
type Options struct {
	Command []string           // the program prime, and what comes before its command
	Dir     string             // folder to make
	Group   group.Group        //
	Auth    config.Auth        //
	Node    config.Node        // settings of every replica; the id is set for each
	Vary    func(*config.Node) // changes the settings of the replica with that id; nil: all have the same
	Proof   config.Proof
	Shares  func(*config.Cluster) ([][]byte, error) // makes everybody's key shares where Proof needs them; nil: it needs none
	Limits  config.Limits
	RunArgs func(id int) []string // of prime run besides --dir; nil: none
	Ready   time.Duration         // how long the replicas may take to connect
	// Heard is given every line that a replica prints on standard output, on a goroutine of that replica's; with it, Tell
	// writes to standard input. nil: neither is used.
	Heard func(id int, line []byte)
}

// Cluster is the replicas of one cluster on this machine.
type Cluster struct {
	Dir      string
	Config   config.Cluster
	Replicas []*Replica // by ascending id, 1..n
}

// attempts is how many times Start tries other ports when some are taken.
const attempts = 8

// Start makes a cluster in a folder of its own and starts every replica; it returns when all of them are connected to a
// quorum. What cannot be started is stopped again; the folder is left to the caller.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	var last error
	for try := range attempts {
		dir := o.Dir
		if try > 0 { // a folder in which a replica has started is not started again
			dir = filepath.Join(o.Dir, "again"+strconv.Itoa(try))
		}
		c, err := o.start(ctx, dir)
		if err == nil {
			return c, nil
		}
		last = err
		if !errors.Is(err, errPortTaken) {
			break
		}
	}
	return nil, last
}

// errPortTaken means that another program took a port between our looking and a replica's listening.
var errPortTaken = errors.New("a port was taken")

func (o *Options) start(ctx context.Context, dir string) (*Cluster, error) {
	base, err := FreePorts(2 * o.Group.N())
	if err != nil {
		return nil, err
	}
	members, err := config.Layout(o.Group, base, nil, "")
	if err != nil {
		return nil, err
	}
	plan := config.Cluster{
		Name: config.DefaultName, F: o.Group.F(), K: o.Group.K(), Auth: o.Auth, Proof: o.Proof, AnyClient: true, Limits: o.Limits,
		Replicas: members,
	}
	var secrets [][]byte
	if o.Shares != nil {
		if secrets, err = o.Shares(&plan); err != nil {
			return nil, err
		}
	}
	made, err := config.CreateWith(dir, plan, o.Node, secrets)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, Config: made}
	if err := o.vary(c); err != nil {
		return nil, err
	}
	for _, m := range made.Replicas {
		args := slices.Clone(o.Command)
		args = append(args, "run", "--dir", folder(dir, m.ID))
		if o.RunArgs != nil {
			args = append(args, o.RunArgs(m.ID)...)
		}
		r := &Replica{ID: m.ID, Folder: folder(dir, m.ID), command: args}
		if o.Heard != nil {
			r.heard = func(line []byte) { o.Heard(m.ID, line) }
		}
		if r.child, err = spawn(args, filepath.Join(r.Folder, LogFile), r.heard); err != nil {
			c.Stop()
			return nil, fmt.Errorf("r%d cannot be started: %w", m.ID, err)
		}
		c.Replicas = append(c.Replicas, r)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Ready)
	defer cancel()
	for _, r := range c.Replicas {
		if err := r.child.waitReady(ctx); err != nil {
			err = fmt.Errorf("r%d did not get ready: %w", r.ID, err)
			if strings.Contains(r.child.tail(), syscall.EADDRINUSE.Error()) {
				err = errors.Join(errPortTaken, err)
			}
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// vary writes the settings of replicas that are not those of all.
func (o *Options) vary(c *Cluster) error {
	if o.Vary == nil {
		return nil
	}
	for _, m := range c.Config.Replicas {
		node := o.Node
		node.ID = m.ID
		o.Vary(&node)
		if err := os.WriteFile(filepath.Join(folder(c.Dir, m.ID), config.NodeFile), node.Encode(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func folder(dir string, id int) string { return filepath.Join(dir, "r"+strconv.Itoa(id)) }

// Ports are chosen below those that systems give to outgoing connections, which the replicas' own would otherwise take.
const (
	firstPort = 15000
	lastPort  = 32000
)

// FreePorts finds count consecutive ports that nobody listens on now, and returns the first.
func FreePorts(count int) (int, error) {
	for range 1000 {
		base := firstPort + rand.IntN(lastPort-firstPort-count)
		if portsAreFree(base, count) {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no %d consecutive ports from %d to %d are free on 127.0.0.1", count, firstPort, lastPort)
}

func portsAreFree(base, count int) bool {
	for port := base; port < base+count; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		_ = l.Close()
	}
	return true
}

// Attach finds the replicas of the cluster in dir that run on this machine; at least one must. Stop leaves them alone.
func Attach(ctx context.Context, dir string) (*Cluster, error) {
	made, err := config.LoadCluster(filepath.Join(dir, config.ClusterFile))
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, Config: made}
	for _, m := range made.Replicas {
		r := &Replica{ID: m.ID, Folder: folder(dir, m.ID)}
		conn, err := local.Dial(ctx, r.Folder)
		if errors.Is(err, local.ErrNotRunning) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("r%d: %w", m.ID, err)
		}
		_ = conn.Close()
		r.pid = lockHolder(r.Folder)
		c.Replicas = append(c.Replicas, r)
	}
	if len(c.Replicas) == 0 {
		return nil, fmt.Errorf("no replica of %s runs on this machine: start them with prime run --dir %s", dir, folder(dir, 1))
	}
	return c, nil
}

// Running are the replicas that have not ended and are not paused, by ascending id.
func (c *Cluster) Running() []*Replica {
	var list []*Replica
	for _, r := range c.Replicas {
		if r.Running() {
			list = append(list, r)
		}
	}
	return list
}

// Replica finds one by its id; nil if there is none.
func (c *Cluster) Replica(id int) *Replica {
	for _, r := range c.Replicas {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// stopLimit is how long replicas get to stop by themselves. There is no work left when they are asked to.
const stopLimit = 10 * time.Second

// Stop ends every process that Start began, politely at first, and returns when they have ended.
func (c *Cluster) Stop() {
	var children []*child
	for _, r := range c.Replicas {
		if child := r.now(); child != nil {
			children = append(children, child)
			child.terminate()
		}
	}
	limit := time.After(stopLimit)
	for _, child := range children {
		select {
		case <-child.ended:
		case <-limit:
			limit = closed() // the time is over for the others, too
			_ = child.cmd.Process.Kill()
			<-child.ended
		}
	}
}

func closed() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}
