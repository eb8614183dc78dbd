package processors

// The cache of last states, and what is kept in it.
type (
	Cache = cache
	State = state
)

// Erased is the digest of an entity whose person was erased.
const Erased = erasedDigest

// NewCache is newCache, NewState makes a state, and ParseDigest reads a digest as STATE's are.
func NewCache(limit int) *Cache { return newCache(limit) }

func NewState(sequence, revision, stored uint64, digest string, version, requested int64, raw uint64) State {
	return state{sequence: sequence, revision: revision, stored: stored, digest: digest, fence: fence{version: version, requested: requested, sequence: raw}}
}

func ParseDigest(text string) (string, error) { return parseDigest(text) }

// Held is how many entities a cache has, and how many nodes.
func (c *cache) Held() (entities, nodes int) { return len(c.places), len(c.nodes) - 1 }
