package object

import (
	"bytes"
	"context"
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

// s3Bucket is a bucket of S3 or of what speaks its protocol.
type s3Bucket struct {
	client  *s3.Client
	bucket  string
	timeout time.Duration
}

func (c config) openS3(ctx context.Context) (store, error) {
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
	return &s3Bucket{client: client, bucket: c.bucket, timeout: c.timeout}, nil
}

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
func (s *s3Bucket) fail(ctx context.Context, what, key string, err error) error {
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
	} else if ctx.Err() == nil && strings.Contains(text, "get credentials") { // nothing was sent: the client says so in many words
		text = "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of this machine"
	}
	wrapped := fmt.Errorf("%s %s: %s", what, s.place(key), text)
	switch {
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", errExists, wrapped)
	case status == http.StatusNotFound && (api == nil || api.ErrorCode() != "NoSuchBucket"):
		return fmt.Errorf("%w: %w", errMissing, wrapped)
	}
	return wrapped
}

// place implements store.
func (s *s3Bucket) place(key string) string { return "s3://" + s.bucket + "/" + key }

// read implements store.
func (s *s3Bucket) read(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return nil, s.fail(ctx, "get", key, err)
	}
	return out.Body, nil
}

// put implements store.
func (s *s3Bucket) put(ctx context.Context, key string, content []byte, onlyNew bool, etag string) error {
	ctx, cancel := limit(ctx, s.timeout, int64(len(content)))
	defer cancel()
	in := &s3.PutObjectInput{Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(content), ContentMD5: base64MD5(bytes.NewReader(content))}
	if onlyNew {
		in.IfNoneMatch = aws.String("*")
	}
	if etag != "" {
		in.IfMatch = &etag
	}
	_, err := s.client.PutObject(ctx, in)
	return s.fail(ctx, "put", key, err)
}

// get implements store.
func (s *s3Bucket) get(ctx context.Context, key string) (content []byte, etag string, err error) {
	ctx, cancel := limit(ctx, s.timeout, maxState)
	defer cancel()
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return nil, "", s.fail(ctx, "get", key, err)
	}
	defer out.Body.Close()
	content, err = io.ReadAll(io.LimitReader(out.Body, maxState))
	return content, aws.ToString(out.ETag), s.fail(ctx, "read", key, err)
}

// remove implements store.
func (s *s3Bucket) remove(ctx context.Context, key string) error {
	ctx, cancel := limit(ctx, s.timeout, 0)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})
	return s.fail(ctx, "delete", key, err)
}

// list implements store.
func (s *s3Bucket) list(ctx context.Context, prefix string, flat bool, visit func(found) bool) error {
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

func (s *s3Bucket) page(ctx context.Context, pages *s3.ListObjectsV2Paginator) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := limit(ctx, s.timeout, 0)
	defer cancel()
	return pages.NextPage(ctx)
}

// digestKey is where the metadata has the SHA-256.
const digestKey = "parley-sha256"

// create implements store.
func (s *s3Bucket) create(ctx context.Context, u upload, part int64) error {
	if u.size > part {
		return s.createInParts(ctx, u, part)
	}
	ctx, cancel := limit(ctx, s.timeout, u.size)
	defer cancel()
	body := io.NewSectionReader(u.body, 0, u.size)
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &u.key, Body: body, ContentLength: &u.size, ContentType: &u.contentType,
		ContentMD5: base64MD5(io.NewSectionReader(u.body, 0, u.size)), Metadata: map[string]string{digestKey: u.digest}, IfNoneMatch: aws.String("*"),
	})
	return s.fail(ctx, "put", u.key, err)
}

func (s *s3Bucket) createInParts(ctx context.Context, u upload, part int64) error {
	begin, cancel := limit(ctx, s.timeout, 0)
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
		abort, cancel := limit(context.WithoutCancel(ctx), s.timeout, 0)
		defer cancel()
		_, _ = s.client.AbortMultipartUpload(abort, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &u.key, UploadId: out.UploadId})
	}
	return err
}

func (s *s3Bucket) parts(ctx context.Context, u upload, part int64, id string) error {
	var done []types.CompletedPart
	for from := int64(0); from < u.size; from += part {
		number, size := int32(len(done)+1), min(part, u.size-from) //nolint:gosec // at most 10,000
		etag, err := s.part(ctx, u, id, number, from, size)
		if err != nil {
			return s.fail(ctx, fmt.Sprintf("upload part %d of", number), u.key, err)
		}
		done = append(done, types.CompletedPart{PartNumber: aws.Int32(number), ETag: etag})
	}
	ctx, cancel := limit(ctx, s.timeout, u.size)
	defer cancel()
	// The SDK looks into the body of a 200, too.
	_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: &u.key, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}, IfNoneMatch: aws.String("*"),
	})
	return s.fail(ctx, "complete upload of", u.key, err)
}

func (s *s3Bucket) part(ctx context.Context, u upload, id string, number int32, from, size int64) (etag *string, err error) {
	ctx, cancel := limit(ctx, s.timeout, size)
	defer cancel()
	out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &s.bucket, Key: &u.key, UploadId: &id, PartNumber: &number, ContentLength: &size,
		Body: io.NewSectionReader(u.body, from, size), ContentMD5: base64MD5(io.NewSectionReader(u.body, from, size)),
	})
	if err != nil {
		return nil, err
	}
	return out.ETag, nil
}

// digest implements store.
func (s *s3Bucket) digest(ctx context.Context, key string) (string, error) {
	ctx, cancel := limit(ctx, s.timeout, 0)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return "", s.fail(ctx, "look at", key, err)
	}
	return out.Metadata[digestKey], nil
}

// sweep implements store.
func (s *s3Bucket) sweep(ctx context.Context, prefix string, before time.Time, ours func(key string) bool) error {
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
