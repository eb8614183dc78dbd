package cobrowser

import "io"

// CountRows finds the rows of a CSV, as Fetch does, and does nothing with them.
func CountRows(body io.Reader, separator byte) (n int, err error) {
	s := newRows(body, separator)
	s.prefix = []byte{'\n'} // no header is read
	for {
		if _, err := s.next(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		n++
	}
}
