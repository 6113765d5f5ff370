package config

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/primebft/prime/internal/group"
)

// Load reads and checks everything that the replica in folder dir is started with: cluster.toml, node.toml, replica.key. It
// names every fault, not only the first; each is a *Problem (see Problems).
func Load(dir string) (Config, error) {
	if p := reachable(dir); p != nil {
		return Config{}, p
	}
	if _, err := os.Stat(filepath.Join(dir, NodeFile)); errors.Is(err, fs.ErrNotExist) && reachable(filepath.Join(dir, "r1")) == nil {
		return Config{}, &Problem{File: dir, What: "it is the folder of a cluster, not of a replica",
			Remedy: "give one of its replicas' folders, for example " + filepath.Join(dir, "r1")}
	}
	c := Config{Dir: dir}
	var errs [5]error
	c.Cluster, errs[0] = LoadCluster(filepath.Join(dir, ClusterFile))
	c.Node, errs[1] = loadFile(filepath.Join(dir, NodeFile), ParseNode)
	c.Key, errs[2] = ReadKey(filepath.Join(dir, KeyFile))
	errs[3] = exposed(dir)
	if errs[0] == nil && c.Cluster.threshold() {
		c.Share, errs[4] = ReadShare(filepath.Join(dir, ShareFile))
	}
	if errors.Join(errs[0], errs[1]) == nil {
		for _, p := range c.crossCheck() {
			if p.File == KeyFile && errs[2] != nil || p.File == ShareFile && errs[4] != nil {
				continue // what ReadKey or ReadShare found says more
			}
			p.File = filepath.Join(dir, p.File)
			p.Line = lineOf(p)
			errs[3] = errors.Join(errs[3], p)
		}
	}
	if err := errors.Join(errs[:]...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// lineOf looks up in a file that was well-formed a moment ago where the field of a fault is.
func lineOf(p *Problem) int {
	if p.Field == "" {
		return 0
	}
	data, err := readFile(p.File)
	if err != nil {
		return 0
	}
	return (&document{lines: locate(string(data))}).line(p.Field)
}

// LoadCluster reads and checks one cluster.toml.
func LoadCluster(file string) (Cluster, error) { return loadFile(file, ParseCluster) }

// loadFile reads a file of bounded size and hands it to its parser.
func loadFile[T any](file string, parse func(string, []byte) (T, error)) (T, error) {
	data, err := readFile(file)
	if err != nil {
		var zero T
		return zero, err
	}
	return parse(file, data)
}

// readFile reads a file that may be too large by one byte, so that its parser refuses it.
func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(file, err, "is the folder one that prime init or prime join made?")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(file, err, "")
	}
	return data, nil
}

// unreadable is the fault of a file that cannot be opened or read. remedy is for one that does not exist.
func unreadable(file string, err error, remedy string) *Problem {
	p := &Problem{File: file, What: "it cannot be read: " + reason(err), Remedy: "see to the disk and the path"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.What, p.Remedy = "it does not exist", remedy
	case errors.Is(err, fs.ErrPermission):
		p.What, p.Remedy = "this user may not read it", "run as its owner"
	}
	return p
}

// reason is an error of the file system without the path, which the message has already.
func reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}

// reachable finds whether dir is a folder.
func reachable(dir string) *Problem {
	info, err := os.Stat(dir)
	if err != nil {
		return unreadable(dir, err, "make the folder with prime init or prime join, or correct --dir")
	}
	if !info.IsDir() {
		return &Problem{File: dir, What: "it is not a folder", Remedy: "give --dir a folder that prime init or prime join made"}
	}
	return nil
}

// exposed finds private keys in dir, beside the replica's own, that others can get at.
func exposed(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return unreadable(dir, err, "")
	}
	var problems []*Problem
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".key" || e.Name() == KeyFile || e.Name() == ShareFile { // those are ReadKey's and ReadShare's
			continue
		}
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			problems = append(problems, &Problem{File: path,
				What:   fmt.Sprintf("a private key with mode %04o: others can get at it", info.Mode().Perm()),
				Remedy: "chmod 600 " + path})
		}
	}
	return join(problems)
}

// Check names every fault in dir, a replica's folder or a cluster's with some of its replicas' folders; nil if there is none.
func Check(dir string) error {
	if p := reachable(dir); p != nil {
		return p
	}
	if _, err := os.Stat(filepath.Join(dir, NodeFile)); err == nil {
		_, err := Load(dir)
		return err
	}
	cluster, err := LoadCluster(filepath.Join(dir, ClusterFile))
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	for id := 1; id <= group.MaxReplicas; id++ {
		folder := filepath.Join(dir, fmt.Sprintf("r%d", id))
		if info, statErr := os.Stat(folder); statErr != nil || !info.IsDir() {
			continue // its machine has it
		}
		c, loadErr := Load(folder)
		if loadErr != nil {
			errs = append(errs, loadErr)
			continue
		}
		if c.Node.ID != id {
			errs = append(errs, &Problem{File: filepath.Join(folder, NodeFile), Field: "id",
				What: fmt.Sprintf("r%d in folder r%d", c.Node.ID, id), Remedy: "rename the folder or correct id"})
		}
		if err == nil && c.Cluster.Digest() != cluster.Digest() {
			errs = append(errs, &Problem{File: filepath.Join(folder, ClusterFile), Field: cluster.difference(c.Cluster),
				What: "it differs from " + filepath.Join(dir, ClusterFile), Remedy: "copy that file over it if it is right"})
		}
	}
	return errors.Join(errs...)
}

// difference is the first setting covered by Digest in which two clusters differ.
func (c Cluster) difference(other Cluster) string {
	for _, s := range clusterSettings {
		if s.at(&c).literal() != s.at(&other).literal() {
			return s.path()
		}
	}
	if c.AnyClient != other.AnyClient || !slices.Equal(c.Clients, other.Clients) {
		return "clients"
	}
	for i, r := range c.Replicas {
		if i >= len(other.Replicas) || r.ID != other.Replicas[i].ID || !r.PublicKey.Equal(other.Replicas[i].PublicKey) ||
			!bytes.Equal(r.ShareKey, other.Replicas[i].ShareKey) {
			return element("replica", i+1)
		}
	}
	return "replica"
}

// writeNew writes a file that must not exist yet, and returns when it is on disk.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		os.Remove(path)
	}
	return err
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// newFolder makes dir with what fill puts into it, or leaves everything as it was: the folder is built beside its place and
// moved there in one step. A folder that exists is refused unless it is empty. remedy says what to do about one that is not.
func newFolder(dir, remedy string, mode fs.FileMode, fill func(tmp string) error) error {
	dir = filepath.Clean(dir)
	taken := &Problem{File: dir, What: "it exists already, and nothing in it was touched", Remedy: remedy}
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return taken
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return unreadable(dir, err, "")
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return &Problem{File: dir, What: "its parent folder cannot be made: " + reason(err), Remedy: "correct --dir"}
	}
	tmp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".new-")
	if err != nil {
		return &Problem{File: dir, What: "it cannot be made: " + reason(err), Remedy: "correct --dir or its parent's permissions"}
	}
	defer os.RemoveAll(tmp)
	if err := errors.Join(fill(tmp), os.Chmod(tmp, mode), syncDir(tmp)); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return taken // somebody put something there meanwhile
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, statErr := os.Lstat(dir); statErr == nil {
			return taken
		}
		return fmt.Errorf("%s: %w", dir, err)
	}
	return syncDir(parent)
}

// writeReplicaFolder fills the folder of one replica. secret is its key share, nil if the cluster has none.
func writeReplicaFolder(dir string, c Cluster, n Node, key ed25519.PrivateKey, secret []byte) error {
	var share error
	if secret != nil {
		r, _ := c.Replica(n.ID)
		share = WriteShare(filepath.Join(dir, ShareFile), Share{Public: r.ShareKey, Secret: secret}, fmt.Sprintf("replica r%d", n.ID))
	}
	return errors.Join(share,
		writeNew(filepath.Join(dir, ClusterFile), c.Encode(), 0o644),
		writeNew(filepath.Join(dir, NodeFile), n.Encode(), 0o644),
		WriteKey(filepath.Join(dir, KeyFile), key, fmt.Sprintf("replica r%d", n.ID)),
		syncDir(dir))
}
