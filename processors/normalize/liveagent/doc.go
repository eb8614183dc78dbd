// Package liveagent makes canonical entities of LiveAgent's records (LiveAgent Rest API, "Api v.1").
//
// # Config
//
// None: a record says its format and its time zone.
//
// # Delivery
//
// A record of conversations has the parts "" (a row of the list), detail, messages and tags, each JSON or XML; both forms of the same
// conversation give the same content. The detail's members replace the row's. Parts that are missing
// leave their fields absent. A record without a row, without conversationid, with one that is not the record's key, or with a part that
// is not well-formed is malformed.
//
// The channel is that of the earliest group, or of the status P (call) or T (chat) when there are no groups.
// ownername and owneremail are the visitor, assignedto is an agent with role assigned. The last reward or rebuke among the
// messages is the rating, the last ranking comment its comment.
//
// The document does not say which userid is the owner's. So a message's author is told from its conversation:
//
//   - the system, for the types splitted, end, header, statis, footer, system, tag, title, transfer, useragent and mixed message, and for a
//     userid that is "System", the document's name for it;
//   - the visitor, for rankings, which only visitors give;
//   - an agent, when the userid is assignedto, or created an internal group or an outgoing or internal call, or wrote a note or
//     an internal message (the visitor sees none of these);
//   - the visitor, when the userid created the earliest group (start infos apart), that is a chat, an offline message, a call,
//     Facebook or Twitter, wrote the first message of it, and is no such agent;
//   - an agent, when another than that visitor writes in a group of type chat;
//   - else unknown, and the type is absent.
//
// The other streams without a time give agent, application, contact, group, department, article, category and tag, which are the vendor's fields in
// snake_case beside the name; presence; and metric, of which the overviews are snapshots. The detail completes the row. Letters that the
// document explains are words (role, gender), Y and N are true and false; others stay in attributes under the vendor's name. What somebody is
// online for (T, P, M, R) is a list; its text stays in attributes when it says more, such as F, offline. A department has its
// agents, a contact its groups, by their ids: the vendor's order is no promise. An article's conversation_id is canonical. The vendor's clock in
// application/status is the time of the reading and not kept.
//
// Times are YYYY-MM-DD HH:MM:SS or MM/DD/YYYY HH:MM:SS in the record's zone. Of a time that came twice when clocks were set back, the
// earlier instant is taken and the text stays in attributes; of one that no clock showed, and of any other text, only the text stays.
//
// Attributes hold what has no canonical place, by the vendor's name: code, publicurlcode, ownernote, groups (each without its
// messages), tags (with their ids), and whatever the document does not know. A name that is taken holds the other part's value in
// an object of the part's name. Messages name their group by messagegroupid, or where the vendor gives none by messagegroup, its
// position. invalid_utf8 says that bytes or escapes that are no text were replaced by U+FFFD, invalid_xml_characters that characters were that XML forbids.
//
// # Limits
//
// The row's value of a field that the detail has too is not kept. XML has no types: what the document does not
// know is text there, and a list of such an element an object. A part nested deeper than 200 levels is malformed. Groups tell when
// they began and ended, but the vendor does not say when a conversation did: started_at and ended_at are absent.
package liveagent
