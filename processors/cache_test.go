package processors_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parley-stream/parley/processors"
)

// remembered is what the cache must know, done simply: the newest is last.
type remembered struct {
	limit  int
	paths  []string
	states map[string]processors.State
}

func (r *remembered) touch(path string) {
	if i := slices.Index(r.paths, path); i >= 0 {
		r.paths = slices.Delete(r.paths, i, i+1)
	}
	r.paths = append(r.paths, path)
}

func (r *remembered) add(path string, s processors.State) {
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
		c, want := processors.NewCache(limit), &remembered{limit: limit, states: map[string]processors.State{}}
		for step := range 20_000 {
			path := fmt.Sprint("conversation.v.s.", random.IntN(3*limit))
			switch random.IntN(5) {
			case 0, 1:
				digest := fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
				if random.IntN(4) == 0 {
					digest = processors.Erased
				}
				s := processors.NewState(random.Uint64(), random.Uint64(), random.Uint64(), digest, random.Int64(), -random.Int64(), random.Uint64())
				if random.IntN(4) == 0 {
					s = processors.State{} // an entity that was never emitted
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
				want.paths, want.states = nil, map[string]processors.State{}
			}
		}
		if entities, nodes := c.Held(); entities > limit || nodes > limit {
			t.Errorf("limit %d: %d entities in %d nodes", limit, entities, nodes)
		}
	}
}

func TestADigestThatIsNoneOfOursIsRefused(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"0123456789abcdef0123456789abcdef": true, processors.Erased: true,
		"": false, "0123456789abcdef": false, "0123456789abcdef0123456789abcdeg": false, "0123456789abcdef0123456789abcdef00": false,
	} {
		if _, err := processors.ParseDigest(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func BenchmarkCache(b *testing.B) {
	c := processors.NewCache(1 << 16)
	paths := make([]string, 1<<17)
	for i := range paths {
		paths[i] = fmt.Sprintf("conversation.liveleader.acme.%032d", i)
	}
	s := processors.NewState(1, 1, 1, "0123456789abcdef0123456789abcdef", 1, 1, 1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		path := paths[i%len(paths)]
		if _, ok := c.Get(path); !ok {
			c.Add(path, s)
		}
	}
}
