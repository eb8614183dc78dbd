package object

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

const (
	azureScope = "https://storage.azure.com/.default"
	// azureDigestKey is where the metadata has the SHA-256: Azure's names are identifiers, and their case is lost on the way.
	azureDigestKey = "parleysha256"
)

// azureContainer is a container of Azure Blob Storage.
type azureContainer struct {
	client  *container.Client
	name    string
	timeout time.Duration
	tokens  azcore.TokenCredential // nil: there are none
	secrets []string               // what no error may show
}

func (c config) openAzure() (store, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// A redirect would take the credentials elsewhere.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	common := policy.ClientOptions{Transport: client, Retry: policy.RetryOptions{MaxRetries: attempts - 1, RetryDelay: firstPause, MaxRetryDelay: 10 * firstPause}}
	options := &container.ClientOptions{ClientOptions: common}
	key, signature := c.azureKey.Reveal(), strings.TrimPrefix(c.azureSignature.Reveal(), "?")
	a := &azureContainer{name: c.bucket, timeout: c.timeout, secrets: []string{key, signature, os.Getenv("AZURE_CLIENT_SECRET")}}
	target := strings.TrimRight(cmp.Or(c.endpoint, "https://"+c.account+".blob.core.windows.net"), "/") + "/" + c.bucket
	var err error
	switch {
	case key != "":
		var shared *container.SharedKeyCredential
		if shared, err = container.NewSharedKeyCredential(c.account, key); err != nil {
			return nil, errors.New("ACCOUNT_KEY (or AZURE_STORAGE_KEY) is no account's key: want base64, as Azure shows it under \"Access keys\"")
		}
		a.client, err = container.NewClientWithSharedKeyCredential(target, shared, options)
	case signature != "":
		if values, parseErr := url.ParseQuery(signature); parseErr != nil || values.Get("sig") == "" {
			return nil, errors.New("SAS_TOKEN (or AZURE_STORAGE_SAS_TOKEN) is no shared access signature: want sv=…&sig=…, as Azure gives it")
		} else if sig := values.Get("sig"); sig != "" {
			a.secrets = append(a.secrets, sig, url.QueryEscape(sig))
		}
		a.client, err = container.NewClientWithNoCredential(target+"?"+signature, options)
	default:
		if a.tokens, err = azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: common}); err == nil {
			a.client, err = container.NewClient(target, a.tokens, options)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the client of %s: %s", a.place(""), a.clean(err.Error()))
	}
	return a, nil
}

// place implements store.
func (a *azureContainer) place(key string) string { return "azblob://" + a.name + "/" + key }

// azureHints say what to do about an answer.
var azureHints = map[string]string{
	"AuthenticationFailed":               "; look at ACCOUNT_KEY, SAS_TOKEN or the variables AZURE_…, and at this machine's clock",
	"AuthorizationFailure":               "; look at the account's firewall and the credentials' permissions",
	"AuthorizationPermissionMismatch":    "; the credentials need the role Storage Blob Data Contributor, or a signature with the permissions rwdlc",
	"AuthorizationSourceIPMismatch":      "; the signature is for another address than this machine's",
	"InvalidAuthenticationInfo":          "; look at ACCOUNT_KEY, SAS_TOKEN or the variables AZURE_…",
	"AccountIsDisabled":                  "; look at the account",
	"ContainerNotFound":                  "; make the container, or look at the URL",
	"ContainerBeingDeleted":              "; make the container again once it is gone, or look at the URL",
	"KeyBasedAuthenticationNotPermitted": "; the account allows no keys: set no ACCOUNT_KEY, and an identity's variables AZURE_…",
}

// fail gives an error of a request without what must not be shown: a server can repeat what it was sent.
func (a *azureContainer) fail(ctx context.Context, what, key string, err error) error {
	if err == nil {
		return nil
	}
	var (
		refused *azcore.ResponseError
		inURL   *url.Error // whose URL has the signature
		denied  *azidentity.AuthenticationFailedError
	)
	text := err.Error()
	switch {
	case errors.As(err, &refused):
		text = fmt.Sprintf("%d %s%s%s", refused.StatusCode, cmp.Or(refused.ErrorCode, http.StatusText(refused.StatusCode)), azureMessage(refused), azureHints[refused.ErrorCode])
	case errors.As(err, &denied):
		text = "no token; look at AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or what else gives this machine its identity"
	case errors.As(err, &inURL):
		text = inURL.Err.Error()
	}
	text = a.clean(text)
	if a.tokens != nil {
		if token, err := a.tokens.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{azureScope}}); err == nil {
			text = strings.ReplaceAll(text, token.Token, "[secret]")
		}
	}
	wrapped := fmt.Errorf("%s %s: %s", what, a.place(key), text)
	switch {
	case refused == nil:
	case refused.ErrorCode == "BlobAlreadyExists", refused.ErrorCode == "ConditionNotMet":
		return fmt.Errorf("%w: %w", errExists, wrapped)
	case refused.ErrorCode == "BlobNotFound", refused.StatusCode == http.StatusNotFound && refused.ErrorCode == "":
		return fmt.Errorf("%w: %w", errMissing, wrapped)
	}
	return wrapped
}

func (a *azureContainer) clean(text string) string {
	for _, secret := range a.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	return text
}

// azureMessage gives the first line of what Azure says; the others are numbers of the request.
func azureMessage(e *azcore.ResponseError) string {
	if e.RawResponse == nil || e.RawResponse.Body == nil {
		return ""
	}
	defer e.RawResponse.Body.Close()
	content, _ := io.ReadAll(io.LimitReader(e.RawResponse.Body, maxState)) // the SDK has read it already, and holds it
	var body struct {
		Message string `xml:"Message"`
	}
	if xml.Unmarshal(content, &body) != nil || body.Message == "" {
		return ""
	}
	line, _, _ := strings.Cut(body.Message, "\n")
	return ": " + line
}

// conditions of a write.
func conditions(onlyNew bool, version string) *blob.AccessConditions {
	modified := &blob.ModifiedAccessConditions{}
	if onlyNew {
		any := azcore.ETagAny
		modified.IfNoneMatch = &any
	}
	if version != "" {
		tag := azcore.ETag(version)
		modified.IfMatch = &tag
	}
	return &blob.AccessConditions{ModifiedAccessConditions: modified}
}

// put implements store. The version is the ETag.
func (a *azureContainer) put(ctx context.Context, key string, content []byte, onlyNew bool, version string) error {
	u := upload{key: key, contentType: "application/octet-stream", body: bytes.NewReader(content), size: int64(len(content))}
	return a.upload(ctx, u, conditions(onlyNew, version))
}

// upload writes a blob in one request.
func (a *azureContainer) upload(ctx context.Context, u upload, on *blob.AccessConditions) error {
	ctx, cancel := limit(ctx, a.timeout, u.size)
	defer cancel()
	_, err := a.client.NewBlockBlobClient(u.key).Upload(ctx, u.section(0, u.size), &blockblob.UploadOptions{
		HTTPHeaders: u.headers(), Metadata: u.metadata(), AccessConditions: on, TransactionalValidation: u.check(0, u.size),
	})
	return a.fail(ctx, "put", u.key, err)
}

func (u upload) section(from, size int64) io.ReadSeekCloser {
	return streaming.NopCloser(io.NewSectionReader(u.body, from, size))
}

// check has the server refuse another body.
func (u upload) check(from, size int64) blob.TransferValidationType {
	return blob.TransferValidationTypeMD5(md5Of(io.NewSectionReader(u.body, from, size)))
}

func (u upload) headers() *blob.HTTPHeaders {
	return &blob.HTTPHeaders{BlobContentType: &u.contentType}
}

func (u upload) metadata() map[string]*string {
	if u.digest == "" {
		return nil
	}
	return map[string]*string{azureDigestKey: &u.digest}
}

// create implements store.
func (a *azureContainer) create(ctx context.Context, u upload, part int64) error {
	if u.size > part {
		return a.createInBlocks(ctx, u, part)
	}
	return a.upload(ctx, u, conditions(true, ""))
}

// createInBlocks writes a large blob. Its blocks are named after the whole content: two writers of one name share them only where they write the
// same, and who tries again replaces his own, so that they do not gather.
func (a *azureContainer) createInBlocks(ctx context.Context, u upload, part int64) error {
	client := a.client.NewBlockBlobClient(u.key)
	var ids []string
	for from := int64(0); from < u.size; from += part {
		id := u.block(part, from)
		if err := a.stage(ctx, client, u, id, from, min(part, u.size-from)); err != nil {
			return a.fail(ctx, fmt.Sprintf("upload part %d of", len(ids)+1), u.key, err)
		}
		ids = append(ids, id)
	}
	ctx, cancel := limit(ctx, a.timeout, 0)
	defer cancel()
	_, err := client.CommitBlockList(ctx, ids, &blockblob.CommitBlockListOptions{HTTPHeaders: u.headers(), Metadata: u.metadata(), AccessConditions: conditions(true, "")})
	return a.fail(ctx, "complete upload of", u.key, err)
}

func (a *azureContainer) stage(ctx context.Context, client *blockblob.Client, u upload, id string, from, size int64) error {
	ctx, cancel := limit(ctx, a.timeout, size)
	defer cancel()
	_, err := client.StageBlock(ctx, id, u.section(from, size), &blockblob.StageBlockOptions{TransactionalValidation: u.check(from, size)})
	return err
}

// block names a part of such a size, from a place on, of this content.
func (u upload) block(part, from int64) string {
	name := binary.BigEndian.AppendUint64([]byte(u.digest), uint64(part)) //nolint:gosec // sizes and places are not negative
	name = binary.BigEndian.AppendUint64(name, uint64(from))              //nolint:gosec // as above
	sum := sha256.Sum256(name)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// get implements store.
func (a *azureContainer) get(ctx context.Context, key string) (content []byte, version string, err error) {
	ctx, cancel := limit(ctx, a.timeout, maxState)
	defer cancel()
	out, err := a.client.NewBlobClient(key).DownloadStream(ctx, nil)
	if err != nil {
		return nil, "", a.fail(ctx, "get", key, err)
	}
	defer out.Body.Close()
	if out.ETag != nil {
		version = string(*out.ETag)
	}
	content, err = io.ReadAll(io.LimitReader(out.Body, maxState))
	return content, version, a.fail(ctx, "read", key, err)
}

// read implements store.
func (a *azureContainer) read(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := a.client.NewBlobClient(key).DownloadStream(ctx, nil)
	if err != nil {
		return nil, a.fail(ctx, "get", key, err)
	}
	return out.Body, nil
}

// remove implements store; one that is not there is removed.
func (a *azureContainer) remove(ctx context.Context, key string) error {
	ctx, cancel := limit(ctx, a.timeout, 0)
	defer cancel()
	_, err := a.client.NewBlobClient(key).Delete(ctx, nil)
	if err = a.fail(ctx, "delete", key, err); errors.Is(err, errMissing) {
		return nil
	}
	return err
}

// list implements store.
func (a *azureContainer) list(ctx context.Context, prefix string, flat bool, visit func(found) bool) error {
	next := a.pages(prefix, flat)
	for {
		items, folders, more, err := next(ctx)
		if err != nil {
			return a.fail(ctx, "list", prefix, err)
		}
		for _, b := range items {
			o := found{key: *b.Name}
			if b.Properties != nil && b.Properties.LastModified != nil {
				o.at = *b.Properties.LastModified
			}
			if !visit(o) {
				return nil
			}
		}
		for _, folder := range folders {
			if !visit(found{key: *folder.Name}) {
				return nil
			}
		}
		if !more {
			return nil
		}
	}
}

// page is one of a listing.
type page func(ctx context.Context) (items []*container.BlobItem, folders []*container.BlobPrefix, more bool, err error)

func (a *azureContainer) pages(prefix string, flat bool) page {
	if flat {
		pages := a.client.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: &prefix})
		return func(ctx context.Context) ([]*container.BlobItem, []*container.BlobPrefix, bool, error) {
			ctx, cancel := limit(ctx, a.timeout, 0)
			defer cancel()
			out, err := pages.NextPage(ctx)
			if err != nil || out.Segment == nil {
				return nil, nil, false, err
			}
			return out.Segment.BlobItems, out.Segment.BlobPrefixes, pages.More(), nil
		}
	}
	pages := a.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &prefix})
	return func(ctx context.Context) ([]*container.BlobItem, []*container.BlobPrefix, bool, error) {
		ctx, cancel := limit(ctx, a.timeout, 0)
		defer cancel()
		out, err := pages.NextPage(ctx)
		if err != nil || out.Segment == nil {
			return nil, nil, false, err
		}
		return out.Segment.BlobItems, nil, pages.More(), nil
	}
}

// digest implements store.
func (a *azureContainer) digest(ctx context.Context, key string) (string, error) {
	ctx, cancel := limit(ctx, a.timeout, 0)
	defer cancel()
	out, err := a.client.NewBlobClient(key).GetProperties(ctx, nil)
	if err != nil {
		return "", a.fail(ctx, "look at", key, err)
	}
	for name, value := range out.Metadata {
		if strings.EqualFold(name, azureDigestKey) && value != nil {
			return *value, nil
		}
	}
	return "", nil
}

// sweep implements store: blocks that nobody commits go with the next commit of their name, or by themselves after a week.
func (a *azureContainer) sweep(context.Context, string, time.Time, func(string) bool) error {
	return nil
}
