package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, written with a unit: 10GiB, 64MiB, 512KB, 1000.
type ByteSize int64

var errByteSize = errors.New("no byte size")

// units by their names; iB are powers of 1024, B of 1000. Longer names first: GiB ends in B too.
var units = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"kB", 1e3},
	{"B", 1},
	{"", 1},
}

// EnvDecode implements envconfig.Decoder.
func (b *ByteSize) EnvDecode(value string) error {
	value = strings.TrimSpace(value)
	for _, unit := range units {
		number, ok := strings.CutSuffix(value, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		n *= unit.bytes
		if err != nil || !(n >= 1) || n >= math.MaxInt64 { // not ">= 1" is NaN too
			return errByteSize
		}
		*b = ByteSize(n)
		return nil
	}
	return errByteSize
}

// Wanted says what a variable of this type takes.
func (*ByteSize) Wanted() string { return "a size such as 10GiB, 64MiB or 512KB" }
