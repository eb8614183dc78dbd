package livechatreports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const maxDepth = 100

// decode reads one JSON object with numbers as json.Number. Other than encoding/json it refuses a name that is
// there twice, in any object: it would lose the first value.
func decode(text []byte) (map[string]any, error) {
	d := decoder{json.NewDecoder(bytes.NewReader(text))}
	d.UseNumber()
	value, err := d.value(0)
	if err != nil {
		return nil, fmt.Errorf("the record is no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the record goes on after its JSON")
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the record is no object")
	}
	return object, nil
}

type decoder struct{ *json.Decoder }

func (d decoder) value(depth int) (any, error) {
	token, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("it nests deeper than %d", maxDepth)
	}
	switch token {
	case json.Delim('{'):
		return d.object(depth)
	case json.Delim('['):
		return d.list(depth)
	}
	return token, nil
}

func (d decoder) object(depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		text, ok := name.(string)
		if _, twice := object[text]; twice || !ok {
			return nil, fmt.Errorf("member %q is there twice", text)
		}
		if object[text], err = d.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

func (d decoder) list(depth int) (any, error) {
	list := []any{}
	for d.More() {
		value, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := d.Token()
	return list, err
}
