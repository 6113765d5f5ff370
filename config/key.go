package config

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
)

// pemType is the label of a PKCS #8 private key.
const pemType = "PRIVATE KEY"

// WriteKey writes a private key to a new file that only its owner can read: PEM, PKCS #8, under a comment. It never replaces
// a file, and returns when the key is on disk. who is named in the comment: "replica r1".
func WriteKey(path string, key ed25519.PrivateKey, who string) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("private key of %s: %w", who, err)
	}
	text := fmt.Appendf(nil, "Private key of %s (Ed25519). Whoever reads it can speak as %s: keep it here, mode 0600.\n", who, who)
	return writeNew(path, append(text, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})...), 0o600)
}

// ReadKey reads a private key, and refuses one that anybody but its owner can read or write. Errors never show the content.
func ReadKey(path string) (ed25519.PrivateKey, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for its other end
		return nil, &Problem{File: path, What: "it is not a file", Remedy: "put the private key there"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err, "make a key with prime init or prime keygen, or correct the path")
	}
	defer f.Close()
	if p := private(path, f); p != nil {
		return nil, p
	}
	data, err := io.ReadAll(io.LimitReader(f, 16*kib))
	if err != nil {
		return nil, unreadable(path, err, "")
	}
	bad := &Problem{File: path, What: "it is not an Ed25519 private key (PEM, PKCS #8)", Remedy: "put the file back that prime wrote"}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, bad
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, bad
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, bad
	}
	return key, nil
}

// private finds whether an open file is one that others can get at.
func private(path string, f *os.File) *Problem {
	info, err := f.Stat()
	switch {
	case err != nil:
		return unreadable(path, err, "")
	case info.Mode().Perm()&0o077 != 0:
		return &Problem{File: path, What: fmt.Sprintf("a private key with mode %04o: others can get at it", info.Mode().Perm()),
			Remedy: "chmod 600 " + path + ", and make a new key if somebody may have read it"}
	}
	return nil
}
