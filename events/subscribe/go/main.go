// Command subscribe follows Parley's conversations. A durable consumer goes on where it was; Ctrl-C ends.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strings"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/vmihailenco/msgpack/v5"
)

const (
	stream  = "PARLEY_EVENTS"
	durable = "mine-go" // a name of your own: every subscriber has its own position
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := follow(ctx, cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func follow(ctx context.Context, server string) error {
	nc, err := nats.Connect(server, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer nc.Drain()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable:        durable,
		FilterSubjects: []string{"parley.events.conversation.>"},
		AckPolicy:      jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		m, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		e, err := event(ctx, js, m)
		if err != nil {
			return err
		}
		if err := store(e); err != nil {
			return err
		}
		if err := m.Ack(); err != nil { // only now: what was not stored comes again
			return err
		}
	}
}

// event reads a message in CloudEvents' binary mode: attributes are ce- headers, percent-encoded.
func event(ctx context.Context, js jetstream.JetStream, m jetstream.Msg) (cloudevents.Event, error) {
	e := cloudevents.NewEvent()
	e.DataEncoded = m.Data()
	for name, values := range m.Headers() {
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, "ce-") {
			continue
		}
		value, err := url.PathUnescape(values[0])
		if err != nil {
			return e, fmt.Errorf("header %s: %w", name, err)
		}
		switch name = name[len("ce-"):]; name {
		case "specversion":
			e.SetSpecVersion(value)
		case "id":
			e.SetID(value)
		case "source":
			e.SetSource(value)
		case "type":
			e.SetType(value)
		case "subject":
			e.SetSubject(value)
		case "dataschema":
			e.SetDataSchema(value)
		case "datacontenttype":
			e.SetDataContentType(value)
		case "time":
			at, err := types.ParseTime(value)
			if err != nil {
				return e, fmt.Errorf("header %s: %w", name, err)
			}
			e.SetTime(at)
		default:
			e.SetExtension(name, value)
		}
	}
	// What is larger than 1 MiB lies in the object store.
	if ref, ok := e.Extensions()["dataref"].(string); ok {
		objects, err := js.ObjectStore(ctx, "parley-objects")
		if err != nil {
			return e, err
		}
		if e.DataEncoded, err = objects.GetBytes(ctx, ref[strings.LastIndexByte(ref, '/')+1:]); err != nil {
			return e, err
		}
	}
	return e, e.Validate()
}

// known has the largest revision of each entity. With a database store is one statement: insert, or update where the revision is larger.
var known = map[string]int{}

func store(e cloudevents.Event) error {
	entity := e.ID()[:strings.LastIndexByte(e.ID(), '.')]
	var revision int
	if _, err := fmt.Sscan(fmt.Sprint(e.Extensions()["revision"]), &revision); err != nil {
		return fmt.Errorf("event %s: revision: %w", e.ID(), err)
	}
	if revision <= known[entity] {
		return nil // it came before: deliveries are at least once
	}
	known[entity] = revision
	if strings.HasSuffix(e.Type(), ".deleted") {
		fmt.Println("erased", e.ID()) // delete all that you have of the entity
		return nil
	}
	var conversation struct {
		ID string `json:"id" msgpack:"id"`
	}
	decode := json.Unmarshal
	if e.DataContentType() == "application/msgpack" {
		decode = msgpack.Unmarshal
	}
	if err := decode(e.Data(), &conversation); err != nil {
		return fmt.Errorf("event %s: %w", e.ID(), err)
	}
	fmt.Println("stored", e.ID(), conversation.ID)
	return nil
}
