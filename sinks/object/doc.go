// Package object writes events into objects of S3, of what speaks its protocol, of Google Cloud Storage, and of Azure Blob Storage: NDJSON, CSV or
// Parquet, every event in exactly one object.
//
// # Config
//
// The URL is s3://bucket/prefix, gs://bucket/prefix or azblob://container/prefix, the prefix being optional, with these parameters:
//
//	region       of S3: AWS_REGION by default; us-east-1 where there is an endpoint and neither
//	account      of Azure: the storage account; AZURE_STORAGE_ACCOUNT by default
//	endpoint     of another server than the provider's, such as https://minio.example:9000; its buckets are then the first part of the path. Of Azure: where
//	             the account's containers are, such as https://chats.blob.core.chinacloudapi.cn or http://127.0.0.1:10000/devstoreaccount1
//	insecure     true allows an endpoint with http:// that is not on this machine
//	format, compress, cells, path, rotate_size, rotate_age, rotate_idle
//	             as package sinks/file has them, rotate_size up to 5GiB
//
// For S3, ACCESS_KEY_ID and SECRET_ACCESS_KEY (with SESSION_TOKEN, if there is one; each may come from a file, as SECRET_ACCESS_KEY_FILE) are the credentials;
// without them the standard ones are used: the variables AWS_…, the shared configuration, a web identity, the machine's role. They need
// GetObject, PutObject, DeleteObject, ListBucket, AbortMultipartUpload and ListBucketMultipartUploads.
//
// For Google, CREDENTIALS (or CREDENTIALS_FILE) is a service account's key, the JSON that Google gives; without it the standard ones are used: the file that
// GOOGLE_APPLICATION_CREDENTIALS names, gcloud's, the machine's account. They need storage.objects.create, get, list and delete. An endpoint with
// neither variable is an emulator's, and gets none.
//
// For Azure, ACCOUNT_KEY or SAS_TOKEN (each may come from a file); without them AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, else an identity as every Azure tool
// finds it: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, a workload's identity, the machine's, that of az login. It needs the role Storage Blob Data
// Contributor; a signature the permissions rwdlc.
//
// TIMEOUT is for one request, beside the time that its bytes take.
//
// # Delivery
//
// Events are gathered in a file in the data directory that has no name and goes with the process. A closed one becomes an object
// <prefix>/<path>/<first>-<last> with the format's ending, as package sinks/file names files, put on the condition that there is none; large
// ones in parts. An event is acknowledged once its object is there. Where a put is answered by "there is one", the digest in the object's
// metadata tells whether it is the same: the reply of an earlier attempt was lost. The conditions are If-None-Match and If-Match on S3 and
// Azure, ifGenerationMatch on Google. What is left of a large one that broke off is given up at once, or swept on S3 within the hour; Google forgets it after a week
// and bills none of it; on Azure it goes when the object is written at last, or after a week.
//
// Below <prefix>/.parley/<sink> a claim is put before an object, named after the last sequence that was committed in its path, and says which object comes
// next: of two processes that both think that they own the sink, one wins it, the other begins anew. A mark is put after it, so that
// objects may be moved away as soon as they are there; marks go an hour after the acknowledgement of their events, claims after a day. The number and time of
// the newest event stay, as package sinks/file has them.
//
// # Limits
//
// The server must honour If-None-Match on puts, and If-Match; AWS does, and MinIO, Ceph, R2 and versitygw. A prefix serves one sink and one stream store.
// An object that is moved away before its mark is there, while the process ends between the two, is written again. A process that was stopped for more than
// a day while it wrote, and wakes, can write an object twice.
package object
