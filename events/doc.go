// Package events is Parley's language: the CloudEvents that travel between
// its parts, the canonical kinds that they carry, the vendor records they are
// made from, the subjects they are stored under, and the two ways an error
// steers whoever retries. It imports nothing else of Parley.
package events
