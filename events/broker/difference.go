package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The server's words for what it has no room or no servers for, of which the client has no names.
const (
	codeResources    jetstream.ErrorCode = 10002
	codeNoPeers      jetstream.ErrorCode = 10005
	codeStorage      jetstream.ErrorCode = 10047
	codeOverlap      jetstream.ErrorCode = 10065
	codeNotClustered jetstream.ErrorCode = 10074
	codeMaxBytes     jetstream.ErrorCode = 10122
)

// differences gathers what is otherwise than it is wanted, as a person reads it.
type differences []string

func (d *differences) add(what string, differs bool, is, want any) {
	if differs {
		*d = append(*d, fmt.Sprintf("%s is %v, want %v", what, is, want))
	}
}

// streamDifferences compares what Parley sets; the server fills in the rest.
func streamDifferences(is, want jetstream.StreamConfig) (d differences) {
	d.add("description", is.Description != want.Description, fmt.Sprintf("%q", is.Description), fmt.Sprintf("%q", want.Description))
	d.add("subjects", !slices.Equal(is.Subjects, want.Subjects), is.Subjects, want.Subjects)
	d.add("storage", is.Storage != want.Storage, is.Storage, want.Storage)
	d.add("retention", is.Retention != want.Retention, is.Retention, want.Retention)
	d.add("max age", is.MaxAge != want.MaxAge, unlimited(is.MaxAge), unlimited(want.MaxAge))
	d.add("max bytes", max(is.MaxBytes, 0) != max(want.MaxBytes, 0), unlimited(is.MaxBytes), unlimited(want.MaxBytes))
	d.add("messages per subject", max(is.MaxMsgsPerSubject, 0) != max(want.MaxMsgsPerSubject, 0), unlimited(is.MaxMsgsPerSubject), unlimited(want.MaxMsgsPerSubject))
	d.add("discard", is.Discard != want.Discard, is.Discard, want.Discard)
	d.add("discard new per subject", is.DiscardNewPerSubject != want.DiscardNewPerSubject, is.DiscardNewPerSubject, want.DiscardNewPerSubject)
	d.add("replicas", is.Replicas != want.Replicas, is.Replicas, want.Replicas)
	d.add("direct gets", is.AllowDirect != want.AllowDirect, is.AllowDirect, want.AllowDirect)
	d.add("atomic batches", is.AllowAtomicPublish != want.AllowAtomicPublish, is.AllowAtomicPublish, want.AllowAtomicPublish)
	d.add("message TTLs", is.AllowMsgTTL != want.AllowMsgTTL, is.AllowMsgTTL, want.AllowMsgTTL)
	d.add("duplicate window", want.Duplicates != 0 && is.Duplicates != want.Duplicates, is.Duplicates, want.Duplicates)
	return d
}

// consumerDifferences compares what Parley sets, but for where the consumer began.
func consumerDifferences(is, want jetstream.ConsumerConfig) (d differences) {
	of := func(c jetstream.ConsumerConfig) []string {
		if c.FilterSubject != "" {
			return []string{c.FilterSubject}
		}
		return c.FilterSubjects
	}
	d.add("filter", !slices.Equal(of(is), of(want)), of(is), of(want))
	d.add("acknowledgement", is.AckPolicy != want.AckPolicy, is.AckPolicy, want.AckPolicy)
	d.add("ack wait", is.AckWait != want.AckWait, is.AckWait, want.AckWait)
	d.add("unacknowledged at most", is.MaxAckPending != want.MaxAckPending, is.MaxAckPending, want.MaxAckPending)
	d.add("deliveries at most", is.MaxDeliver != want.MaxDeliver, unlimited(is.MaxDeliver), unlimited(want.MaxDeliver))
	d.add("pushes to", is.DeliverSubject != want.DeliverSubject, is.DeliverSubject, "nobody: it is pulled from")
	d.add("one owner", is.PriorityPolicy != want.PriorityPolicy, is.PriorityPolicy == jetstream.PriorityPolicyPinned, want.PriorityPolicy == jetstream.PriorityPolicyPinned)
	return d
}

// unlimited is how a limit reads that 0 or less takes away.
func unlimited[T int | int64 | time.Duration](limit T) any {
	if limit <= 0 {
		return "unlimited"
	}
	return limit
}

// explained says what differs and what to do where the server did not make or change something as it is wanted. Any other error is as it was.
func explained(err error, differ differences, remove string) error {
	var answer *jetstream.APIError
	if !errors.As(err, &answer) {
		return err
	}
	action := ""
	switch answer.ErrorCode {
	case codeNoPeers, codeNotClustered:
		action = "PARLEY_NATS_REPLICAS: want at most as many as there are servers with JetStream in the cluster; start more of them, or lower it"
	case codeStorage, codeResources, codeMaxBytes:
		action = "give JetStream more room (max_file_store, or the account's limits), or lower PARLEY_RAW_MAX_BYTES, which RAW reserves"
	case codeOverlap:
		action = "a stream that is not Parley's takes them; `nats stream ls --subject 'parley.>'` names it: give it other subjects, or remove it"
	default:
		if len(differ) == 0 {
			return err
		}
		action = "nothing was changed; it was made by something else, or by another version: stop Parley, keep a copy of what it holds if you need it, remove it (`" +
			remove + "`), and run `parley provision` (or Parley, where roles have no identities) again"
	}
	if len(differ) == 0 {
		return fmt.Errorf("%w; %s", err, action)
	}
	return fmt.Errorf("%s: the server refuses to change that: %w; %s", strings.Join(differ, "; "), err, action)
}
