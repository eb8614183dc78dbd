package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// The roles that deploy/nats/roles.conf gives permissions.
const (
	RolePoller      = "poller"
	RoleProcessor   = "processor"
	RoleSink        = "sink"
	RoleOperator    = "operator"
	RoleEraser      = "eraser"
	RoleProvisioner = "provisioner"
)

// Roles are those that have an identity each.
func Roles() []string {
	return []string{RolePoller, RoleProcessor, RoleSink, RoleOperator, RoleEraser, RoleProvisioner}
}

const (
	// seedFile is a role's identity, in a folder of its role.
	seedFile = "nkey"
	roleLine = "role: "
)

// usersFile is what the server must know: public keys alone.
var usersFile = filepath.Join("nats", "users.conf")

// WriteIdentities makes an identity for each role that has none in a directory yet, <role>/nkey, and writes nats/users.conf, by which
// deploy/nats/roles.conf knows them. What it made before stays.
func WriteIdentities(dir string) error {
	var users strings.Builder
	users.WriteString("# The public keys of the roles in roles.conf; `parley identities` wrote them. There is no secret here.\n")
	for _, role := range Roles() {
		public, err := ensureIdentity(filepath.Join(dir, role, seedFile), role)
		if err != nil {
			return fmt.Errorf("identity of the %s: %w", role, err)
		}
		fmt.Fprintf(&users, "NKEY_%s: %s\n", strings.ToUpper(role), public)
	}
	path := filepath.Join(dir, usersFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(users.String()), 0o644)
}

// ensureIdentity makes a role's identity if there is none, and gives its public key.
func ensureIdentity(path, role string) (public string, err error) {
	i, err := readIdentity(path)
	if errors.Is(err, fs.ErrNotExist) {
		i, err = newIdentity(path, role)
	}
	if err != nil {
		return "", err
	}
	if i.keys == nil || i.role != role {
		return "", fmt.Errorf("%s is no identity of that role; move it away", path)
	}
	return i.keys.PublicKey()
}

func newIdentity(path, role string) (identity, error) {
	keys, err := nkeys.CreateUser()
	if err != nil {
		return identity{}, err
	}
	seed, err := keys.Seed()
	if err != nil {
		return identity{}, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return identity{}, err
	}
	text := fmt.Appendf(nil, "# Parley's %s on NATS, for PARLEY_NATS_CREDS. Keep it secret.\n%s%s\n%s\n", role, roleLine, role, seed)
	return identity{role: role, keys: keys}, os.WriteFile(path, text, 0o600)
}

// identity is what PARLEY_NATS_CREDS names: a role's, another NKey, or a JWT with its key, of which only that is known (keys is nil).
type identity struct {
	role string // "" where none is named: it may do what its user may
	keys nkeys.KeyPair
	path string
}

func readIdentity(path string) (identity, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return identity{}, err
	}
	i := identity{path: path}
	if bytes.Contains(content, []byte("NATS USER JWT")) {
		return i, nil
	}
	for line := range strings.Lines(string(content)) {
		if role, ok := strings.CutPrefix(strings.TrimSpace(line), roleLine); ok {
			i.role = role
		}
	}
	if i.keys, err = nkeys.ParseDecoratedUserNKey(content); err != nil {
		return i, fmt.Errorf("%s: want the credentials file of a NATS user, or a user's NKey seed (SU…) such as `parley identities` makes", path)
	}
	return i, nil
}

// options log in. A role receives what it asked for under a prefix of its own, so that it may not listen to others' answers.
func (i identity) options() ([]nats.Option, error) {
	if i.keys == nil {
		return []nats.Option{nats.UserCredentials(i.path)}, nil
	}
	public, err := i.keys.PublicKey()
	if err != nil {
		return nil, err
	}
	opts := []nats.Option{nats.Nkey(public, i.keys.Sign)}
	if i.role != "" {
		opts = append(opts, nats.CustomInboxPrefix("_INBOX_"+i.role))
	}
	return opts, nil
}

// provisions tells whether the identity makes streams and consumers: a role's takes them as the provisioner made them.
func (i identity) provisions() bool { return i.role == "" || i.role == RoleProvisioner }

// ErrNotProvisioned says that a stream, bucket or consumer is missing which this process may not make.
var ErrNotProvisioned = errors.New("it is not there yet; `parley provision`, with the same PARLEY_ variables, makes it")

// Provisions tells whether this process makes and changes streams and consumers, or takes them as they are.
func (b *Broker) Provisions() bool { return b.identity.provisions() }

// Role is the one whose identity this process has; empty without, and then it may do everything.
func (b *Broker) Role() string { return b.identity.role }

// ReadsEvents tells whether this process may look at events: a poller may not, which has no need to.
func (b *Broker) ReadsEvents() bool { return b.identity.role != RolePoller }

// missing turns the error for what is not there into ErrNotProvisioned where this process may not make it.
func (b *Broker) missing(err, notFound error) error {
	if errors.Is(err, notFound) && !b.Provisions() {
		return ErrNotProvisioned
	}
	return err
}
