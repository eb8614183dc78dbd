package object

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Content-MD5 is what every server checks a body by
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// store is a bucket. Its errors hold no credential.
type store struct {
	client  *s3.Client
	bucket  string
	timeout time.Duration
}

func (c config) store(ctx context.Context) (*store, error) {
	load := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithLogger(logging.Nop{}), // what happens is in the errors
		// Checksums that travel behind a body are unknown to many servers; every request has a Content-MD5 instead.
		awsconfig.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		awsconfig.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if c.region != "" {
		load = append(load, awsconfig.WithRegion(c.region))
	}
	if c.keyID.Reveal() != "" {
		fixed := credentials.NewStaticCredentialsProvider(c.keyID.Reveal(), c.secret.Reveal(), c.session.Reveal())
		load = append(load, awsconfig.WithCredentialsProvider(fixed))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of AWS (variables AWS_… and the files that they name): %w", err)
	}
	if loaded.Region == "" {
		return nil, errors.New("no region: add region=eu-west-1 or what the bucket's is to the URL, or set AWS_REGION")
	}
	client := s3.NewFromConfig(loaded, func(o *s3.Options) {
		if c.endpoint != "" {
			o.BaseEndpoint = aws.String(c.endpoint)
		}
		o.UsePathStyle = o.BaseEndpoint != nil
	})
	return &store{client: client, bucket: c.bucket, timeout: c.timeout}, nil
}

// The answers that the protocol builds on.
var (
	errExists  = errors.New("there is an object already")
	errMissing = errors.New("there is no such object")
)

// hints say what to do about an answer.
var hints = map[string]string{
	"AccessDenied":                 "; look at the permissions of the credentials",
	"InvalidAccessKeyId":           "; look at ACCESS_KEY_ID or AWS_ACCESS_KEY_ID",
	"SignatureDoesNotMatch":        "; look at SECRET_ACCESS_KEY or AWS_SECRET_ACCESS_KEY",
	"NoSuchBucket":                 "; make the bucket, or look at the URL",
	"PermanentRedirect":            "; the bucket is in another region: look at region",
	"AuthorizationHeaderMalformed": "; the bucket may be in another region: look at region",
	"RequestTimeTooSkewed":         "; set this machine's clock by NTP",
	"ExpiredToken":                 "; the session token has run out: renew it",
}

// fail gives an error of a request without what must not be shown: a server can repeat what it was sent.
func (s *store) fail(ctx context.Context, what, key string, err error) error {
	if err == nil {
		return nil
	}
	status := 0
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	var api smithy.APIError
	text := err.Error()
	if errors.As(err, &api) {
		text = fmt.Sprintf("%d %s: %s%s", status, api.ErrorCode(), api.ErrorMessage(), hints[api.ErrorCode()])
	}
	if known, err := s.client.Options().Credentials.Retrieve(ctx); err == nil {
		for _, secret := range []string{known.SecretAccessKey, known.SessionToken, known.AccessKeyID} {
			if secret != "" {
				text = strings.ReplaceAll(text, secret, "[secret]")
			}
		}
	}
	wrapped := fmt.Errorf("%s s3://%s/%s: %s", what, s.bucket, key, text)
	switch {
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", errExists, wrapped)
	case status == http.StatusNotFound && (api == nil || api.ErrorCode() != "NoSuchBucket"):
		return fmt.Errorf("%w: %w", errMissing, wrapped)
	}
	return wrapped
}

// slowest is how fast a body must travel at least, in bytes a second.
const slowest = 128 << 10

// limit gives a request its time.
func (s *store) limit(ctx context.Context, bytes int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout+time.Duration(bytes/slowest)*time.Second)
}

// put writes a small object; onlyNew on the condition that there is none, etag that it is still this one.
func (s *store) put(ctx context.Context, key string, content []byte, onlyNew bool, etag string) error {
	ctx, cancel := s.limit(ctx, int64(len(content)))
	defer cancel()
	in := &s3.PutObjectInput{Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(content), ContentMD5: md5Of(bytes.NewReader(content))}
	if onlyNew {
		in.IfNoneMatch = aws.String("*")
	}
	if etag != "" {
		in.IfMatch = &etag
	}
	_, err := s.client.PutObject(ctx, in)
	return s.fail(ctx, "put", key, err)
}

func md5Of(r io.Reader) *string {
	sum := md5.New()       //nolint:gosec // as above
	_, _ = io.Copy(sum, r) // a body that cannot be read fails when it is sent
	return aws.String(base64.StdEncoding.EncodeToString(sum.Sum(nil)))
}

// get reads a small object.
func (s *store) get(ctx context.Context, key string) (content []byte, etag string, err error) {
	ctx, cancel := s.limit(ctx, maxState)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return nil, "", s.fail(ctx, "get", key, err)
	}
	defer out.Body.Close()
	content, err = io.ReadAll(io.LimitReader(out.Body, maxState))
	return content, aws.ToString(out.ETag), s.fail(ctx, "read", key, err)
}

// maxState bounds what is read of an object of ours.
const maxState = 64 << 10

func (s *store) remove(ctx context.Context, key string) error {
	ctx, cancel := s.limit(ctx, 0)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})
	return s.fail(ctx, "delete", key, err)
}

// found is an object in a listing.
type found struct {
	key string
	at  time.Time
}

// list visits the keys with a prefix until visit says no; flat: those directly below it, folders (which end with a slash) among them.
func (s *store) list(ctx context.Context, prefix string, flat bool, visit func(found) bool) error {
	in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix}
	if flat {
		in.Delimiter = aws.String("/")
	}
	for pages := s3.NewListObjectsV2Paginator(s.client, in); pages.HasMorePages(); {
		out, err := s.page(ctx, pages)
		if err != nil {
			return s.fail(ctx, "list", prefix, err)
		}
		for _, o := range out.Contents {
			if !visit(found{aws.ToString(o.Key), aws.ToTime(o.LastModified)}) {
				return nil
			}
		}
		for _, p := range out.CommonPrefixes {
			if !visit(found{key: aws.ToString(p.Prefix)}) {
				return nil
			}
		}
	}
	return nil
}

func (s *store) page(ctx context.Context, pages *s3.ListObjectsV2Paginator) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := s.limit(ctx, 0)
	defer cancel()
	return pages.NextPage(ctx)
}

// upload is a file that becomes an object.
type upload struct {
	key, contentType, digest string
	body                     io.ReaderAt
	size                     int64
}

// digestKey is where the metadata has the SHA-256.
const digestKey = "parley-sha256"

// create writes an object on the condition that there is none.
func (s *store) create(ctx context.Context, u upload, part int64) error {
	if u.size > part {
		return s.createInParts(ctx, u, part)
	}
	ctx, cancel := s.limit(ctx, u.size)
	defer cancel()
	body := io.NewSectionReader(u.body, 0, u.size)
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &u.key, Body: body, ContentLength: &u.size, ContentType: &u.contentType,
		ContentMD5: md5Of(io.NewSectionReader(u.body, 0, u.size)), Metadata: map[string]string{digestKey: u.digest}, IfNoneMatch: aws.String("*"),
	})
	return s.fail(ctx, "put", u.key, err)
}

func (s *store) createInParts(ctx context.Context, u upload, part int64) error {
	begin, cancel := s.limit(ctx, 0)
	defer cancel()
	out, err := s.client.CreateMultipartUpload(begin, &s3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: &u.key, ContentType: &u.contentType, Metadata: map[string]string{digestKey: u.digest},
	})
	if err != nil {
		return s.fail(ctx, "begin upload of", u.key, err)
	}
	err = s.parts(ctx, u, part, *out.UploadId)
	if err != nil {
		// What cannot be given up now is swept later.
		abort, cancel := s.limit(context.WithoutCancel(ctx), 0)
		defer cancel()
		_, _ = s.client.AbortMultipartUpload(abort, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &u.key, UploadId: out.UploadId})
	}
	return err
}

func (s *store) parts(ctx context.Context, u upload, part int64, id string) error {
	var done []types.CompletedPart
	for from := int64(0); from < u.size; from += part {
		number, size := int32(len(done)+1), min(part, u.size-from) //nolint:gosec // at most 10,000
		etag, err := s.part(ctx, u, id, number, from, size)
		if err != nil {
			return s.fail(ctx, fmt.Sprintf("upload part %d of", number), u.key, err)
		}
		done = append(done, types.CompletedPart{PartNumber: aws.Int32(number), ETag: etag})
	}
	ctx, cancel := s.limit(ctx, u.size)
	defer cancel()
	// The SDK looks into the body of a 200, too.
	_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &u.key, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}, IfNoneMatch: aws.String("*"),
	})
	return s.fail(ctx, "complete upload of", u.key, err)
}

func (s *store) part(ctx context.Context, u upload, id string, number int32, from, size int64) (etag *string, err error) {
	ctx, cancel := s.limit(ctx, size)
	defer cancel()
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &u.key, UploadId: &id, PartNumber: &number, ContentLength: &size,
		Body: io.NewSectionReader(u.body, from, size), ContentMD5: md5Of(io.NewSectionReader(u.body, from, size)),
	})
	if err != nil {
		return nil, err
	}
	return out.ETag, nil
}

// digest gives the SHA-256 that an object's metadata has; "" for none.
func (s *store) digest(ctx context.Context, key string) (string, error) {
	ctx, cancel := s.limit(ctx, 0)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return "", s.fail(ctx, "look at", key, err)
	}
	return out.Metadata[digestKey], nil
}

// sweep gives up uploads with a prefix that were begun before a moment and whose key is ours.
func (s *store) sweep(ctx context.Context, prefix string, before time.Time, ours func(key string) bool) error {
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return s.fail(ctx, "list uploads of", prefix, err)
		}
		for _, u := range out.Uploads {
			if !ours(aws.ToString(u.Key)) || !aws.ToTime(u.Initiated).Before(before) {
				continue
			}
			_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: u.Key, UploadId: u.UploadId})
			if err != nil {
				return s.fail(ctx, "give up upload of", aws.ToString(u.Key), err)
			}
		}
	}
	return nil
}
