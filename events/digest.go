package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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

// Record is what a record is recognised by when it comes again: 32 hex digits of all that a normaliser sees of it, under words that say for
// whom that holds. When it was read, for which window and from which URL is no part of it.
func (k *DigestKey) Record(r *Record, words ...string) string {
	// Every length stands before what has it: no two records are the same bytes.
	head := fmt.Appendf(nil, "%q %q %q %q %q %q %q", words, r.Vendor, r.Source, r.Stream, r.Key, r.Timezone, r.Params)
	parts := [][]byte{nil}
	for i := range r.Parts {
		part := &r.Parts[i]
		head = fmt.Appendf(head, " %q %q %d %q %d", part.Name, part.ContentType, part.Body.Size, part.Body.SHA256, len(part.Body.Bytes))
		parts = append(parts, part.Body.Bytes)
	}
	parts[0] = head
	return k.digest("record", parts...)
}

// Identifier is what is remembered of an identifier whose person was erased: 32 hex digits.
func (k *DigestKey) Identifier(i Identifier) string {
	return k.digest("identifier", []byte(i.Kind), []byte(i.Source), []byte(i.Value))
}
