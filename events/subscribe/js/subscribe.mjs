// Follows Parley's conversations. A durable consumer goes on where it was; node subscribe.mjs, Ctrl-C ends.
import { connect } from "@nats-io/transport-node";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { decode } from "@msgpack/msgpack";
import { CloudEvent } from "cloudevents";

const stream = "PARLEY_EVENTS";
const durable = "mine-js"; // a name of your own: every subscriber has its own position

// event reads a message in CloudEvents' binary mode: attributes are ce- headers, percent-encoded.
function event(m) {
  const attributes = {};
  for (const [name, values] of m.headers) {
    if (name.toLowerCase().startsWith("ce-")) {
      attributes[name.slice(3).toLowerCase()] = decodeURIComponent(values[0]);
    }
  }
  const data = attributes.datacontenttype === "application/msgpack" ? decode(m.data) : m.json();
  return new CloudEvent({ ...attributes, revision: Number(attributes.revision), data });
}

// store keeps the largest revision of each entity. With a database it is one statement: insert, or update where the revision is larger.
const known = new Map();
function store(e) {
  const entity = e.id.slice(0, e.id.lastIndexOf("."));
  if (e.revision <= (known.get(entity) ?? 0)) {
    return; // it came before: deliveries are at least once
  }
  known.set(entity, e.revision);
  if (e.type.endsWith(".deleted")) {
    console.log(`erased ${e.id}`); // delete all that you have of the entity
    return;
  }
  console.log(`stored ${e.id} ${e.data.id}`);
}

// The client does not read credentials from a URL; one name in it without a password is a token.
const url = new URL(process.env.NATS_URL ?? "nats://127.0.0.1:4222");
const credentials = url.password ? { user: url.username, pass: url.password } : { token: url.username || undefined };
const nc = await connect({ servers: url.host, maxReconnectAttempts: -1, ...credentials });
const manager = await jetstreamManager(nc);
await manager.consumers.add(stream, {
  durable_name: durable,
  filter_subjects: ["parley.events.conversation.>"],
  ack_policy: AckPolicy.Explicit,
});
const consumer = await jetstream(nc).consumers.get(stream, durable);
const messages = await consumer.consume();
process.on("SIGINT", () => messages.close());
for await (const m of messages) {
  store(event(m));
  m.ack(); // only now: what was not stored comes again
}
await nc.drain();
