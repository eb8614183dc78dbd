// Package webhook sends events to an HTTP endpoint as CloudEvents 1.0, signed as Standard Webhooks say.
//
// # Config
//
// The URL is https://host/path, or http:// to a loopback address written as such (localhost, 127.0.0.1, [::1]) or, with ALLOW_PRIVATE, to
// private ones. A user and password in it are sent as basic authentication. These parameters are Parley's and are not sent; all others are, as they stand:
//
//	mode       binary (the default): an event for each request, attributes in ce- headers, the data as it is in the body
//	           structured: an event for each request, all of it JSON in the body
//	           batch: up to 100 events for each request, a JSON array in the body
//	handshake  auto (the default): ask for permission by OPTIONS before the first event, as the CloudEvents webhook specification says,
//	           and go on where the endpoint does not speak it; required: send nothing without permission; off: do not ask
//	origin     the name in WebHook-Request-Origin, parley by default
//
// An endpoint whose own parameter has one of these names gets it with a letter of the name percent-encoded (%6Dode=fast).
//
// SECRET holds one signing key (whsec_ and 24 to 64 bytes in base64), or two, separated by a comma, while a key is being replaced: both sign.
// ALLOW_PRIVATE lets it reach private networks. CONCURRENCY requests are under way at once; one has TIMEOUT for all of it, an event has MAX_ATTEMPTS.
//
// # Delivery
//
// An event is delivered when the endpoint has answered its request with a status from 200 to 299. At least once, in order for each entity: the revisions of a
// chat arrive one after the other, different chats side by side. webhook-id is msg_ and the first 32 hex digits of the SHA-256 of the event's id (in batch mode of
// the ids, each with a line feed), the same for every attempt; ce-id is the same, too.
//
// Every other answer is a failure, and a redirect is one: it is not followed. What comes of it:
//
//	410                       the sink stops: the endpoint asked for no more. It asks once more whenever it is started
//	3xx, 401, 403, 407        the sink pauses and tries one event now and then; a Retry-After is honoured
//	413                       the event is dead-lettered; of a batch, the event that is too large alone
//	429                       everything waits for Retry-After, or a second, and nothing is held against the event
//	other 4xx                 the event is tried again while others go on; of a batch, each event alone
//	408, 425, 5xx, no answer  tried again
//
// An event is dead-lettered after MAX_ATTEMPTS while the endpoint accepts others. While it accepts nothing, the sink pauses and its backlog waits.
//
// # Limits
//
// Addresses that are not public are refused when the connection is made, whatever the name resolves to, unless ALLOW_PRIVATE is set; link-local ones
// and those of clouds' metadata services always are, and so are ports below 1024 but 80 and 443 of public addresses. http:// never leaves the private networks. HTTP_PROXY is not used.
// Of an answer, its status and a few headers are looked at; the body is read up to 64 KiB, and neither kept nor shown. Data in msgpack is sent as it is in binary mode, and as JSON in the
// others. What the endpoint allows by WebHook-Allowed-Rate is kept by each process for itself; one process at a time owns a sink.
package webhook
