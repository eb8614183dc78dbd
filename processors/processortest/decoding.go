package processortest

import "testing"

// Decoding measures ways to decode the same bytes beside each other, in MB/s.
func Decoding(b *testing.B, body []byte, ways map[string]func() error) {
	for name, decode := range ways {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
