package ops

import "context"

// Ask adds a question.
func Ask(w *Watch, ask func(context.Context) error) {
	w.questions = append(w.questions, &question{name: "test", ask: func(ctx context.Context, _ *view) error { return ask(ctx) }})
}

// Look looks once.
func Look(ctx context.Context, w *Watch) { w.look(ctx) }
