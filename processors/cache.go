package processors

import (
	"encoding/hex"
	"hash/maphash"
)

// cache remembers the last states of entities, by their paths; what was not asked for longest goes first. It holds no pointer, so that the
// garbage collector passes over it however many entities there are.
type cache struct {
	limit  int
	seeds  [2]maphash.Seed
	places map[cacheKey]int32
	nodes  []cacheNode // the first is nobody's: it joins the ends of the ring
}

// cacheKey stands for a path: 128 bits that nobody can foresee.
type cacheKey [2]uint64

type cacheNode struct {
	key          cacheKey
	state        packed
	newer, older int32
}

// packed is a state without pointers.
type packed struct {
	sequence, revision, stored uint64
	fence                      fence
	digest                     [16]byte
	erased                     bool
}

// cacheBytes is about what the cache takes for an entity: a node, with what the slice has in reserve, and its place in the map.
const cacheBytes = 144

// newCache makes a cache for so many entities.
func newCache(limit int) *cache {
	c := &cache{limit: limit, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	c.Purge()
	return c
}

func (c *cache) key(path string) cacheKey {
	return cacheKey{maphash.String(c.seeds[0], path), maphash.String(c.seeds[1], path)}
}

// Get gives what is remembered of an entity.
func (c *cache) Get(path string) (s state, ok bool) {
	at, ok := c.places[c.key(path)]
	if !ok {
		return s, false
	}
	c.unlink(at)
	c.front(at)
	return c.nodes[at].state.unpack(), true
}

// Add remembers an entity's state. A digest is 32 hex digits, none or erasedDigest, which parseDigest sees to.
func (c *cache) Add(path string, s state) {
	key := c.key(path)
	at, ok := c.places[key]
	switch {
	case ok:
		c.unlink(at)
	case len(c.places) < c.limit:
		at = int32(len(c.nodes)) //nolint:gosec // below the limit
		c.nodes = append(c.nodes, cacheNode{})
	default:
		at = c.nodes[0].newer // the oldest's node is taken over
		c.unlink(at)
		delete(c.places, c.nodes[at].key)
	}
	c.nodes[at].key, c.nodes[at].state = key, pack(s)
	c.places[key] = at
	c.front(at)
}

// Purge forgets everything.
func (c *cache) Purge() {
	c.places, c.nodes = make(map[cacheKey]int32), make([]cacheNode, 1)
}

// front makes a node the newest. The ring's first node has the newest as its older neighbour, and the oldest as its newer one.
func (c *cache) front(at int32) {
	newest := c.nodes[0].older
	c.nodes[at].newer, c.nodes[at].older = 0, newest
	c.nodes[newest].newer, c.nodes[0].older = at, at
}

func (c *cache) unlink(at int32) {
	n := &c.nodes[at]
	c.nodes[n.newer].older, c.nodes[n.older].newer = n.older, n.newer
}

func pack(s state) packed {
	p := packed{sequence: s.sequence, revision: s.revision, stored: s.stored, fence: s.fence, erased: s.digest == erasedDigest}
	_, _ = hex.Decode(p.digest[:], []byte(s.digest))
	return p
}

func (p packed) unpack() state {
	s := state{sequence: p.sequence, revision: p.revision, stored: p.stored, fence: p.fence}
	switch {
	case p.erased:
		s.digest = erasedDigest
	case p.digest != [16]byte{}:
		s.digest = hex.EncodeToString(p.digest[:])
	}
	return s
}
