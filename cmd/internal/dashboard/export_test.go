package dashboard

import "time"

// SampleEvery has the dashboard remember more often; it is called before Run.
func (d *Dashboard) SampleEvery(span time.Duration) { d.memory.every = span }
