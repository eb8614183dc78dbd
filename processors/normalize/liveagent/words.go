package liveagent

// statusOf gives the status of a conversation's letter; "" of an unknown one.
func statusOf(letter string) string {
	switch letter {
	case "A":
		return "answered"
	case "P", "T", "C":
		return "open" // calling, chatting, open
	case "X":
		return "deleted"
	case "B":
		return "spam"
	case "I", "N":
		return "new" // init, new
	case "R":
		return "resolved"
	case "W":
		return "postponed"
	}
	return ""
}

// channelOf gives the channel of a group's letter.
func channelOf(rtype string) string {
	switch rtype {
	case "C", "S":
		return "chat"
	case "P", "V", "1":
		return "call"
	case "F", "W", "Y":
		return "social"
	case "M":
		return "offline_message"
	}
	return "ticket"
}

// words has the document's word for a message's letter.
var words = map[string]string{
	"D": "call", "E": "end", "F": "file", "Z": "formfield", "H": "header", "I": "internal", "M": "message", "B": "splitted",
	"X": "mixed_message", "N": "note", "L": "note_file", "Q": "quoted_text", "C": "ranking_comment", "P": "ranking_rebuke",
	"W": "ranking_reward", "J": "statis", "S": "system", "G": "tag", "O": "footer", "A": "header", "T": "title",
	"R": "transfer", "U": "useragent", "V": "voice",
}
