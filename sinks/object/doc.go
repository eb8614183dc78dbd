// Package object writes events into objects of S3 and of what speaks its protocol: NDJSON, CSV or Parquet, every event in exactly one object.
//
// # Config
//
// The URL is s3://bucket or s3://bucket/prefix, with these parameters:
//
//	region       AWS_REGION by default; us-east-1 where there is an endpoint and neither
//	endpoint     of another server than AWS's, such as https://minio.example:9000; its buckets are then the first part of the path
//	insecure     true allows an endpoint with http:// that is not on this machine
//	format, compress, cells, path, rotate_size, rotate_age, rotate_idle
//	             as package sinks/file has them, rotate_size up to 5GiB
//
// ACCESS_KEY_ID and SECRET_ACCESS_KEY (with SESSION_TOKEN, if there is one; each may come from a file, as SECRET_ACCESS_KEY_FILE) are the credentials;
// without them the standard ones are used: the variables AWS_…, the shared configuration, a web identity, the machine's role. They need
// GetObject, PutObject, DeleteObject, ListBucket, AbortMultipartUpload and ListBucketMultipartUploads. TIMEOUT is for one request, beside the time that its bytes take.
//
// # Delivery
//
// Events are gathered in a file in the data directory that has no name and goes with the process. A closed one becomes an object
// <prefix>/<path>/<first>-<last> with the format's ending, as package sinks/file names files, put on the condition that there is none; large
// ones in parts. An event is acknowledged once its object is there. Where a put is answered by "there is one", the digest in the object's
// metadata tells whether it is the same: the reply of an earlier attempt was lost.
//
// Below <prefix>/.parley/<sink> a claim is put before an object, named after the last sequence that was committed in its path, and says which object comes
// next: of two processes that both think that they own the sink, one wins it, the other begins anew. A mark is put after it, so that
// objects may be moved away as soon as they are there; marks go an hour after the acknowledgement of their events, claims after a day.
//
// # Limits
//
// The server must honour If-None-Match on puts, and If-Match; AWS does, and MinIO, Ceph, R2 and versitygw. A prefix serves one sink and one stream store.
// An object that is moved away before its mark is there, while the process ends between the two, is written again. A process that was stopped for more than
// a day while it wrote, and wakes, can write an object twice. Google Cloud Storage (gs://) and Azure (azblob://) are not built in.
package object
