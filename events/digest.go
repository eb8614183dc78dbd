package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// DigestKey makes digests that nobody can make, or try values against, without the installation's key. It is safe for concurrent use.
type DigestKey struct{ macs sync.Pool }

// NewDigestKey makes it of a key's bytes.
func NewDigestKey(key []byte) *DigestKey {
	return &DigestKey{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// digest keeps what digests are of apart: equal bytes of two uses have different digests.
func (k *DigestKey) digest(use string, parts ...[]byte) string {
	mac := k.macs.Get().(hash.Hash)
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(use))
	for _, part := range parts {
		mac.Write([]byte{0})
		mac.Write(part)
	}
	var sum [sha256.Size]byte
	return hex.EncodeToString(mac.Sum(sum[:0])[:16])
}

// Content is the digest attribute of an entity's canonical content, before enrichment: 32 hex digits.
func (k *DigestKey) Content(content []byte) string { return k.digest("content", content) }

// Identifier is what is remembered of an identifier whose person was erased: 32 hex digits.
func (k *DigestKey) Identifier(i Identifier) string {
	return k.digest("identifier", []byte(i.Kind), []byte(i.Source), []byte(i.Value))
}
