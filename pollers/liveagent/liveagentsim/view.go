package liveagentsim

import (
	"time"

	"github.com/parley-stream/parley/pollers/simulated"
)

// view is the account as it is seen at one second. It is shared: nobody changes it.
type view struct {
	at        time.Time
	edition   int
	chats     []seen
	byName    map[string]int // of chats, by each of a conversation's three names
	customers []customer
	contacts  map[string]int // of customers, by contactid and by email
}

// seen is a chat with its times as the vendor writes them: every list compares them.
type seen struct {
	*simulated.Chat
	created, changed string
}

// look gives the account as it is now. What happens in the story happens at whole seconds, so that a view is good for one.
func (s *Sim) look() *view {
	at := s.account.Now().Truncate(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.seen; v != nil && v.at.Equal(at) && v.edition == s.edition {
		return v
	}
	s.seen = s.newView(at)
	return s.seen
}

func (s *Sim) newView(at time.Time) *view {
	chats := s.account.Chats()
	v := &view{at: at, edition: s.edition, chats: make([]seen, len(chats)), byName: make(map[string]int, 3*len(chats)), contacts: map[string]int{}}
	for i := range chats {
		c := &chats[i]
		v.chats[i] = seen{c, s.local(c.Start), s.local(c.ChangedAt)}
		for _, name := range []string{conversationID(c), code(c), publicURLCode(c)} {
			if _, taken := v.byName[name]; !taken {
				v.byName[name] = i
			}
		}
	}
	v.customers = s.customers(chats)
	for i, c := range v.customers {
		v.contacts[c.contactID], v.contacts[c.email] = i, i
	}
	return v
}
