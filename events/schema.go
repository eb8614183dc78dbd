package events

import "embed"

//go:embed schemas/*.json
var schemas embed.FS

// Schema gives the JSON Schema (draft 2020-12) of a kind's canonical content, whose $id is the
// dataschema attribute of its events; nil of what is no kind.
func Schema(k Kind) []byte {
	b, err := schemas.ReadFile("schemas/" + string(k) + ".v1.json")
	if err != nil {
		return nil
	}
	return b
}
