package config

import (
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
)

// pemDealing is the label of a dealing of key shares.
const pemDealing = "PRIME DEALING"

// WriteDealing writes what replica id deals to the others into its folder, and returns the path of the file. It never replaces
// one: everybody has to be given the same.
func WriteDealing(dir string, id int, dealing []byte) (string, error) {
	path := filepath.Join(dir, fmt.Sprintf("r%d", id)+DealingFile)
	text := fmt.Appendf(nil, "Dealing of replica r%d: hand it to every machine of the cluster, then run prime join on each.\n"+
		"What it says to one replica only is encrypted; nothing else in it is secret.\n", id)
	err := writeNew(path, append(text, pem.EncodeToMemory(&pem.Block{Type: pemDealing, Bytes: dealing})...), 0o644)
	if err != nil {
		return "", &Problem{File: path, What: "it cannot be made: " + reason(err),
			Remedy: "if it exists, hand that one to every machine, or remove it everywhere before you make another"}
	}
	return path, syncDir(dir)
}

// ReadDealing reads what WriteDealing wrote. Whether it is a dealing is for threshold/bls to say.
func ReadDealing(path string) ([]byte, error) { return loadFile(path, parseDealing) }

// parseDealing is ReadDealing for text that has been read.
func parseDealing(file string, data []byte) ([]byte, error) {
	const most = 64 * kib // one of 64 replicas has a fifth of that
	block, rest := pem.Decode(data)
	if len(data) > most || block == nil || block.Type != pemDealing || strings.TrimSpace(string(rest)) != "" {
		return nil, &Problem{File: file, What: "it is not a dealing", Remedy: "give the file that prime deal wrote"}
	}
	return block.Bytes, nil
}
