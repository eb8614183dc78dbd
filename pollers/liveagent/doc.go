// Package liveagent reads a LiveAgent account over its REST API, version 1 (LiveAgent Rest API, "Api v.1").
//
// # Config
//
//	URL       the account's address, such as https://company.example; mandatory. /api is added
//	API_KEY   the account's key; it travels as the documented query parameter and is redacted everywhere
//	FORMAT    json (default) or xml
//	TIMEZONE  the zone of the account's times; the documented default is America/Los_Angeles
//
// The vendor allows 180 requests per minute and key.
//
// # Streams
//
// conversations, of which the key is conversationid. A record has the parts "" (the row of the list), detail,
// messages and tags, each as the vendor sent it.
//
// # Delivery
//
// A window lists the departments, deleted ones too, since the vendor lists conversations by department only; then the
// conversations of each by datechanged, and of each conversation its detail, messages and tags: 1 + departments +
// 3 × conversations requests.
//
// Whether the edges of btw: belong to the range is undocumented, so one second before the window is asked for
// and its end is too. Around a change of clocks back, where a local time happens twice, the range
// reaches from before the first to after the second such hour. Conversations that come along
// only because of this are emitted as well.
//
// A conversation that vanishes between the list and its detail (404, or the documented "unable to load
// conversation") is emitted with the parts that were there; so is one in an installation
// that has no tags yet. A row without an id is emitted as it is, with no key, and one too large to keep as its start.
//
// A list is held whole before its conversations are asked for, so that the vendor need not keep
// it open meanwhile; of one beyond 16 MiB so much is worked off at a time.
//
// A response with the status ERROR is an error whatever its HTTP status. 400 (a problem with the key), 401
// and 403 are about the credentials; everything else is retried.
//
// Members and elements that are credentials by name (authtoken, browsercookiename, apikey, api_key,
// password) are cut out of the bytes wherever they are; other bytes stay as they are.
//
// # Limits
//
// The document gives no paging of conversations. A list of exactly 100 or 1000 rows, the caps of the vendor's other
// lists, is taken for a cut one: the window is split and read again, before anything of that list is
// asked for. At one second it is read and stays partial.
//
// The vendor does not say which userid is the visitor's, and lists no conversation without a department. A department
// that is removed for good, rather than marked deleted, takes its conversations out of reach.
package liveagent
