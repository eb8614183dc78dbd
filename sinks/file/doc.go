// Package file writes events into files: NDJSON, CSV or Parquet, every event in exactly one file, a file visible only when it is whole.
//
// # Config
//
// The URL is file:///absolute/dir or file:relative/dir, with these parameters:
//
//	format       ndjson (the default), csv or parquet; package sinks/internal/format says what is in them
//	compress     none (the default), gzip or zstd
//	cells        safe (the default): in CSV, text that a spreadsheet would take for a formula gets an apostrophe before it; exact: it does not
//	path         below the directory; {kind}/{vendor}/{source}/{date} by default, {date} being the event's time in UTC. CSV and Parquet want {kind} in it
//	rotate_size  64MiB by default: a file is closed when it has about so many bytes (KiB, MiB, GiB, KB, MB, GB, or plain bytes)
//	rotate_age   1m by default: and so long after its first event
//	rotate_idle  a quarter of rotate_age by default: and when for so long none came
//
// # Delivery
//
// Events are appended in stream order to one open file for each path. A closed file appears under its path as
// <first>-<last> with the format's ending (.ndjson, .csv.gz, .parquet …), the 20-digit sequences in EVENTS of the first and last event of that path that it holds, by a rename: whoever
// lists the directory sees whole files only, and may read them, move them away or delete them at any time. An event is acknowledged once its
// file is there and synced to disk.
//
// What is committed stays known by hard links under <dir>/.parley/<sink>/done, for an hour beyond the acknowledgement of what they
// hold, and by the files themselves while they are there, so that an event that comes again after a crash adds nothing. The
// number and time of the newest event in .parley/<sink>/newest tell, for as long as the directory is the sink's, whether the stream is still the one that the
// files are of: a stream that was restored from an older backup gives numbers that files hold to other events. Of those none is written; the sink says so. The
// directory .parley begins with a dot, and no name in it ends as files do: no glob of a loader sees it, and find -name '*.ndjson' finds
// every event once. The format may be changed at any time: what is written stays.
//
// Files have mode 0600 and directories 0700, because chats are personal data: run loaders as the same user, or give them access with an ACL.
//
// # Limits
//
// A directory serves one sink, and one stream store: a sink that finds another's, or files with
// sequences of a store that is gone, writes nothing and says so. The file system must have hard links and locks that
// hold between the processes that may run the sink (a local one, or NFS 4). After a change of path, events that were in an open file's
// path and are not yet acknowledged can be written once more under the new path.
// At most 256 files are open at once; beyond, the one that was quiet the longest is closed early. What they hold in memory (Parquet's rows, above
// all) is bounded by 256 MiB; beyond, the largest is closed early.
package file
