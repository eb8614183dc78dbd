// Package liveagent reads a LiveAgent account over its REST API, version 1 (LiveAgent Rest API, "Api v.1").
//
// # Config
//
//	URL         the account's address, such as https://company.example; mandatory. /api is added
//	API_KEY     the account's key; it travels as the documented query parameter and is redacted everywhere
//	FORMAT      json (default) or xml
//	COLUMNS     columns of the reports, separated by commas (default: all): each report that has some of them is asked for these alone
//	KB_QUERIES  what the knowledge base is searched for, separated by commas; without it there is no stream knowledgebase/search
//	TIMEZONE    the zone of the account's times; the documented default is America/Los_Angeles
//
// The vendor allows 180 requests per minute and key.
//
// # Streams
//
// conversations, of which the key is conversationid. A record has the parts "" (the row of the list), detail,
// messages and tags, each as the vendor sent it.
//
// The other streams are snapshots: a record has the row of a list as its part "", and what else is named here.
//
//	agents                    detail alone       key userid
//	application/status        detail alone       key application
//	customers                 + detail, groups   key contactid
//	customersgroups           + detail           key id
//	departments               + detail, agents   key departmentid
//	knowledgebase/articles                       key knowledgebase/articles/<kb_entry_id>
//	knowledgebase/search                         key knowledgebase/search/<kb_entry_id>
//	onlinestatus/agents       present            key onlinestatus/agents/<id>
//	onlinestatus/departments  present            key onlinestatus/departments/<id>
//	suggestioncategories                         key id
//	tags                      + detail           key id
//	chats/overview            present, detail alone, key chats/overview/snapshot
//	calls/overview            present, detail alone, key calls/overview/snapshot
//
// # Delivery
//
// A window lists the departments, deleted ones too, since the vendor lists conversations by department only; then the
// conversations of each by datechanged, and of each conversation whose row is not as it was when it was last read its detail,
// messages and tags: 1 + departments + 3 × changed conversations requests. A reading that died so goes on where it was. A row that is read
// within five seconds of its change is not remembered, since another change of the same second leaves it as it is. What datefrom
// and dateto mean is documented in two ways; nothing is asked for by them.
//
// Whether the edges of btw: belong to the range is undocumented, so one second before the window is asked for
// and its end is too. Around a change of clocks back, where a local time happens twice, the range
// reaches from before the first to after the second such hour. Conversations that come along
// only because of this are emitted as well.
//
// A conversation that vanishes between the list and its detail (404, or the documented "unable to load
// conversation") is emitted with the parts that were there, and asked for again when it is listed again; one in an installation
// that has no tags yet is emitted without. A row without an id is emitted as it is, with no key, and one too large to keep as its start.
//
// A list is held whole before its conversations are asked for, so that the vendor need not keep
// it open meanwhile; of one beyond 16 MiB so much is worked off at a time.
//
// Customers and articles come in pages. Neither a total nor an order is documented, so each page begins before the end of the last one and must
// hold a row of it, and the end is where nothing new comes: rows that come or go meanwhile move no other out of sight. The details and groups
// of a customer whose row has not changed are read once a week, each customer's on a day of its own: the row does not show all that they hold.
//
// The vendor lists no agents as such: those of every department and of onlinestatus/agents are asked for one by one. An article that several
// searches find is one record.
//
// A call that answers 404 or 403 is one that this account may not read, since many came with later versions; departments are there always.
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
// A row that moves from behind the place of the reading to before it, where the vendor orders a list by something that changes, is
// missed until the next snapshot. A first snapshot of n customers takes 2 × n requests. A search is asked for 500 rows and has no pages: one of
// so many stays partial. Agents who are in no department and of no onlinestatus cannot be found. Calls and
// chats are overviews only; v1 has no call that lists suggestions.
//
// The vendor does not say which userid is the visitor's, and lists no conversation without a department. A department
// that is removed for good, rather than marked deleted, takes its conversations out of reach.
package liveagent
