package simulated

// Words of the invented chats. Some hold what formats find hard: quotes, separators, markup,
// other scripts, a formula.
var (
	firstNames = []string{"Ada", "Bjørn", "Carla", "Dmitri", "Élise", "Fatima", "Goran", "Hanako", "Inés", "Jörg", "Kofi", "Linh"}
	lastNames  = []string{"Andersen", "Brun", "Castro", "Dahl", "Eriksen", "Fofana", "García", "Hansen", "Ito", "Jansen", "O'Neill", "Łukasik"}
	companies  = []string{"Fjordnett", "Bluewave", "Nordlys", "Kestrel", "Maple & Sons", "Quill; Ltd"}
	pages      = []string{"pricing", "returns", "delivery", "shoes/red", "account", "garden"}
	campaigns  = []string{"newsletter", "search", "social"}
	tags       = []string{"refund", "delivery", "praise", "bug", "sales lead"}
	comments   = []string{"", "Thank you!", "Quick and kind.", "Too slow; twice", "\"ok\"", "Grüße"}
	questions  = []string{
		"Hello, is anybody there?", "Where is my parcel? It was due on Monday.", "Can I return the red shoes <size 42> & get a refund?",
		"Das ist großartig, danke schön.", "ありがとう!", "I paid \"twice\"; please check.", "=SUM(1,2) is what my sheet says", "Line one\nline two",
	}
	answers = []string{
		"Hi, how can I help?", "Let me look that up for you.", "Your parcel left our warehouse yesterday.", "I have sent you a refund of 25 €.",
		"Could you tell me the order number, please?", "You can read more at https://shop.example/help?a=1&b=2.",
	}
	places = [][2]string{{"Blakstad", "Norway"}, {"Utrecht", "Netherlands"}, {"Phoenix", "United States"}, {"São Paulo", "Brazil"}, {"Kyoto", "Japan"}}
)
