// Package liveagentsim is LiveAgent's REST API version 1 over an invented account, as far as its
// document (LiveAgent Rest API, "Api v.1") describes it: conversations with their detail, messages
// and tags, and every directory and overview. It is as strict as the document: what the document
// does not name is refused.
//
// What the document leaves open is answered so: an unknown parameter, one given twice, and a value that
// fits no documented format are errors 500; an unknown department is error 404; the dates that datefrom
// and dateto speak of are those of creation, and they mean what the document's words say
// ("older than", "younger than"); btw includes both of its ends; dates compare as the local
// text that they are; a list of conversations has no limit; limitfrom and offset count from 0; a search has no largest limit and
// finds a text in titles and contents; the customers are the visitors of every fifth chat. Where chats go on arriving, presence and
// overviews change every five minutes; in an account that rests they rest too.
package liveagentsim
