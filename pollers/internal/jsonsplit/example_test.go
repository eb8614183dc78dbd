package jsonsplit_test

import (
	"fmt"
	"strings"

	"github.com/parley-stream/parley/events"
	"github.com/parley-stream/parley/pollers/internal/jsonsplit"
)

func ExampleScan() {
	body := strings.NewReader(`{"chats": [{"id": "A1"}, {"id": "A2"}], "total": 2}`)
	rest, err := jsonsplit.Scan(body, []string{"chats"}, func(chat events.Body) error {
		fmt.Printf("%s\n", chat.Bytes)
		return nil
	})
	fmt.Printf("%s %v\n", rest["total"], err)
	// Output:
	// {"id": "A1"}
	// {"id": "A2"}
	// 2 <nil>
}
