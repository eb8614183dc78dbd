package content

// What decides whether a text is HTML, each by itself.
var (
	MayBeMarkup = mayBeMarkup
	IsMarkedUp  = isMarkedUp
)
