package object

import (
	"context"
	"crypto/md5" //nolint:gosec // it is what every provider checks a body by
	"encoding/base64"
	"errors"
	"io"
	"time"
)

// store is a bucket, or whatever its provider calls that. Its methods may be called at once, and try again by themselves what is known to pass; their errors
// name the place, hold no credential, and wrap errExists and errMissing where that is the answer.
type store interface {
	// place is how a person writes a key of the bucket.
	place(key string) string
	// put writes a small object; onlyNew on the condition that there is none, version that it is still this one.
	put(ctx context.Context, key string, content []byte, onlyNew bool, version string) error
	// get reads a small object, and which version it is.
	get(ctx context.Context, key string) (content []byte, version string, err error)
	// read gives an object of any size as it comes.
	read(ctx context.Context, key string) (io.ReadCloser, error)
	remove(ctx context.Context, key string) error
	// list visits the keys with a prefix until visit says no; flat: those directly below it, folders (which end with a slash) among them.
	list(ctx context.Context, prefix string, flat bool, visit func(found) bool) error
	// create writes an object on the condition that there is none, one that is larger than a part in parts.
	create(ctx context.Context, u upload, part int64) error
	// digest gives the SHA-256 that an object's metadata has; "" for none.
	digest(ctx context.Context, key string) (string, error)
	// sweep gives up uploads with a prefix that were begun before a moment and whose key is ours, where they do not go by themselves.
	sweep(ctx context.Context, prefix string, before time.Time, ours func(key string) bool) error
}

// The answers that the protocol builds on.
var (
	errExists  = errors.New("there is an object already")
	errMissing = errors.New("there is no such object")
)

// found is an object in a listing.
type found struct {
	key string
	at  time.Time
}

// upload is a file that becomes an object.
type upload struct {
	key, contentType, digest string
	body                     io.ReaderAt
	size                     int64
}

// maxState bounds what is read of an object of ours.
const maxState = 64 << 10

// slowest is how fast a body must travel at least, in bytes a second.
const slowest = 128 << 10

// limit gives a request its time.
func limit(ctx context.Context, timeout time.Duration, bytes int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, timeout+time.Duration(bytes/slowest)*time.Second)
}

func md5Of(r io.Reader) []byte {
	sum := md5.New()       //nolint:gosec // as above
	_, _ = io.Copy(sum, r) // a body that cannot be read fails when it is sent
	return sum.Sum(nil)
}

func base64MD5(r io.Reader) *string {
	text := base64.StdEncoding.EncodeToString(md5Of(r))
	return &text
}
