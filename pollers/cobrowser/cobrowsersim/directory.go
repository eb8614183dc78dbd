package cobrowsersim

import (
	"strconv"
	"strings"
	"time"
)

const (
	accountCount = 3
	resellerID   = "77"
	cccAccountID = "88"
)

func accountID(k int) string { return strconv.Itoa(4101 + k) }

func hostID(k int) string { return strconv.Itoa(3101 + k) }

// agentID is the id of an agent in one account: a CCC agent is an agent in each.
func agentID(agent, account int) string { return strconv.Itoa(30100 + 10*agent + account) }

func cccAgentID(agent int) string { return strconv.Itoa(900 + agent) }

func preset(k int) string { return []string{"Sales", "Support", "After; hours"}[k] }

// rfc2822 writes a time as the document does, in the account's zone.
func (s *Sim) rfc2822(t time.Time) string {
	return t.In(s.zone).Format("Mon, 02 Jan 2006 15:04:05 -0700")
}

func (s *Sim) accounts() (rows []row) {
	for k, name := range []string{"Shop Norway", "Shop; Netherlands", `Shop "Deutschland"`} {
		id := accountID(k)
		rows = append(rows, row{values: []string{id, name, "shop" + strconv.Itoa(k+1) + ".example", resellerID}, account: id, key: id})
	}
	return rows
}

func (s *Sim) hosts() (rows []row) {
	for k, name := range []string{"shop.example", "shop.example", "help.shop.example"} {
		several := []string{"no", "nl", ""}[k]
		rows = append(rows, row{values: []string{hostID(k), accountID(k), name, several}, account: accountID(k), key: hostID(k)})
	}
	return rows
}

func (s *Sim) agents() (rows []row) {
	people := s.account.Agents()
	for i, p := range people {
		first, last, _ := strings.Cut(p.Name, " ")
		username, _, _ := strings.Cut(p.Email, "@")
		for k := range accountCount {
			disabled := "0"
			if i == len(people)-1 && k > 0 {
				disabled = "1"
			}
			rows = append(rows, row{
				values:  []string{agentID(i, k), username, first, last, p.Email, accountID(k), cccAgentID(i), disabled},
				account: accountID(k), key: "agents/" + agentID(i, k),
			})
		}
	}
	return rows
}

func (s *Sim) cccAgents() (rows []row) {
	for i, p := range s.account.Agents() {
		first, last, _ := strings.Cut(p.Name, " ")
		username, _, _ := strings.Cut(p.Email, "@")
		rows = append(rows, row{
			values: []string{cccAgentID(i), username, first, last, p.Email, cccAccountID}, key: "cccagents/" + cccAgentID(i),
		})
	}
	return rows
}

// groups are the CCC groups' ids and names.
func groups() [][2]string { return [][2]string{{"501", "Webshop"}, {"502", `Night & "weekend"`}} }

func (s *Sim) cccAgentGroups() (rows []row) {
	for i := range s.account.Agents() {
		for g, group := range groups() {
			if g == 0 || i%2 == 0 {
				rows = append(rows, row{
					values: []string{cccAgentID(i), group[0], group[1], cccAccountID}, key: "cccagentgroups/" + cccAgentID(i) + "-" + group[0],
				})
			}
		}
	}
	return rows
}

func (s *Sim) cccGroupAccounts() (rows []row) {
	for k := range accountCount {
		group := groups()[k/2]
		rows = append(rows, row{
			values: []string{group[0], accountID(k), group[1], cccAccountID}, key: "cccgroupaccounts/" + group[0] + "-" + accountID(k),
		})
	}
	return rows
}
