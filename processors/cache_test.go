package processors

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// remembered is what the cache must know, done simply: the newest is last.
type remembered struct {
	limit  int
	paths  []string
	states map[string]state
}

func (r *remembered) touch(path string) {
	if i := slices.Index(r.paths, path); i >= 0 {
		r.paths = slices.Delete(r.paths, i, i+1)
	}
	r.paths = append(r.paths, path)
}

func (r *remembered) add(path string, s state) {
	r.touch(path)
	r.states[path] = s
	if len(r.paths) > r.limit {
		delete(r.states, r.paths[0])
		r.paths = r.paths[1:]
	}
}

func TestTheCacheForgetsWhatWasNotAskedForLongest(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 7, 100} {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		c, want := newCache(limit), &remembered{limit: limit, states: map[string]state{}}
		for step := range 20_000 {
			path := fmt.Sprint("conversation.v.s.", random.IntN(3*limit))
			switch random.IntN(5) {
			case 0, 1:
				s := state{
					sequence: random.Uint64(), revision: random.Uint64(), stored: random.Uint64(),
					digest: fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64()),
					fence:  fence{version: random.Int64(), requested: -random.Int64(), sequence: random.Uint64()},
				}
				switch random.IntN(4) {
				case 0:
					s.digest = erasedDigest
				case 1:
					s = state{} // an entity that was never emitted
				}
				c.Add(path, s)
				want.add(path, s)
			default:
				got, ok := c.Get(path)
				known, is := want.states[path]
				if ok != is || got != known {
					t.Fatalf("limit %d, seed %d, step %d: %s is %+v, %v; want %+v, %v", limit, seed, step, path, got, ok, known, is)
				}
				if is {
					want.touch(path)
				}
			}
			if step == 10_000 {
				c.Purge()
				want.paths, want.states = nil, map[string]state{}
			}
		}
		if len(c.places) > limit || len(c.nodes) > limit+1 {
			t.Errorf("limit %d: %d entities in %d nodes", limit, len(c.places), len(c.nodes))
		}
	}
}

func TestADigestThatIsNoneOfOursIsRefused(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"0123456789abcdef0123456789abcdef": true, erasedDigest: true,
		"": false, "0123456789abcdef": false, "0123456789abcdef0123456789abcdeg": false, "0123456789abcdef0123456789abcdef00": false,
	} {
		if _, err := parseDigest(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func BenchmarkCache(b *testing.B) {
	c := newCache(1 << 16)
	paths := make([]string, 1<<17)
	for i := range paths {
		paths[i] = fmt.Sprintf("conversation.liveleader.acme.%032d", i)
	}
	s := state{sequence: 1, revision: 1, digest: "0123456789abcdef0123456789abcdef"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		path := paths[i%len(paths)]
		if _, ok := c.Get(path); !ok {
			c.Add(path, s)
		}
	}
}
