package bus

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dsat/dsat/topology"
)

// Tokens are made of a key in the run directory, so that a process that outlived its dsatd is known to the next one by the token
// it was given.

const (
	keyName = "key"
	keySize = 32
)

// tokenKey reads the key of a run directory, or makes one.
func tokenKey(runDir string) ([]byte, error) {
	path := filepath.Join(runDir, keyName)
	key, err := os.ReadFile(path)
	if err == nil && len(key) == keySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the key of the bus: %w", err)
	}
	key = make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	fresh := path + ".new"
	if err := os.WriteFile(fresh, key, 0o600); err != nil {
		return nil, fmt.Errorf("cannot make a key for the bus: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return nil, fmt.Errorf("cannot make a key for the bus: %w", err)
	}
	return key, nil
}

// token proves that a process is this life of this instance.
func (b *Bus) token(ref topology.Ref, inc topology.Incarnation) string {
	h := hmac.New(sha256.New, b.key)
	fmt.Fprintf(h, "%s %d", ref, uint64(inc))
	return hex.EncodeToString(h.Sum(nil)[:16])
}
