"""Follows Parley's conversations. pip install nats-py cloudevents msgpack; Ctrl-C ends."""

import asyncio
import json
import os
from urllib.parse import unquote

import msgpack
import nats
from cloudevents.http import CloudEvent
from nats.js.api import AckPolicy, ConsumerConfig

STREAM = "PARLEY_EVENTS"
DURABLE = "mine-python"  # a name of your own: every subscriber has its own position

known: dict[str, int] = {}  # in a database, beside the entities


def event(m) -> CloudEvent:
    """Reads a message in CloudEvents' binary mode: attributes are ce- headers, percent-encoded."""
    attributes = {name[3:].lower(): unquote(value) for name, value in m.headers.items() if name.lower().startswith("ce-")}
    decode = msgpack.unpackb if attributes.get("datacontenttype") == "application/msgpack" else json.loads
    return CloudEvent(attributes, decode(m.data))


def store(e: CloudEvent) -> None:
    """Keeps the largest revision of each entity; what came before changes nothing."""
    entity, revision = e["id"].rsplit(".", 1)
    if int(revision) <= known.get(entity, 0):
        return
    known[entity] = int(revision)
    print("erased" if e["type"].endswith(".deleted") else "stored", e["id"])


async def main() -> None:
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    js = nc.jetstream()
    await js.add_consumer(
        STREAM,
        ConsumerConfig(durable_name=DURABLE, filter_subject="parley.events.conversation.>", ack_policy=AckPolicy.EXPLICIT),
    )
    subscription = await js.pull_subscribe_bind(consumer=DURABLE, stream=STREAM)
    while True:
        try:
            messages = await subscription.fetch(100, timeout=5)
        except nats.errors.TimeoutError:
            continue
        for m in messages:
            store(event(m))
            await m.ack()  # only now: what was not stored comes again


asyncio.run(main())
