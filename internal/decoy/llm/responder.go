package llm

import (
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"bartizan/internal/decoy/persona"
)

// speaker is the model that is pretended to speak.
type speaker struct {
	model persona.Model
	p     *persona.Persona
}

// maxThought is how much of a prompt the responder looks at.
const maxThought = 4 << 10

// respond says something to a question. The same question to the same model
// gets the same answer.
func respond(sp speaker, q *question) string {
	raw := strings.TrimSpace(strings.ToValidUTF8(cut(q.prompt, maxThought), ""))
	low := strings.ToLower(raw)
	for _, try := range [...]func(sp speaker, q *question, raw, low string) string{
		harmful, secrets, identity, sums, echo, counting, letters, greeting, translation, facts, code, creative, summary,
	} {
		if a := try(sp, q, raw, low); a != "" {
			return a
		}
	}
	return general(sp, raw)
}

// one picks one of several phrasings, always the same for the same prompt.
func (sp speaker) one(raw string, of ...string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(sp.model.Name + "\x00" + raw)) // cannot fail
	return of[int(h.Sum32()%uint32(len(of)))]
}

func has(low string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(low, w) {
			return true
		}
	}
	return false
}

var harm = regexp.MustCompile(`\b(bomb|explosive|ransomware|malware|keylogger|rootkit|botnet|phishing|meth(amphetamine)?|nerve agent|bioweapon|ddos|exploit for|steal (passwords?|credit)|credit card numbers|carding|hack into|backdoor|undetectable)\b`)

func harmful(sp speaker, _ *question, raw, low string) string {
	if !harm.MatchString(low) || !has(low, "how", "write", "make", "create", "build", "give", "generate", "code", "show", "help", "steps", "instructions", "tell") {
		return ""
	}
	return sp.one(raw,
		"I'm sorry, but I can't help with that. If you have a question about security or safety in general, I'm happy to talk about that instead.",
		"I can't assist with that request. Is there something else I can help you with?",
		"I cannot provide information or guidance on illegal or harmful activities. Can I help you with something else?")
}

var asksPrompt = regexp.MustCompile(`system prompt|(your|initial|previous|above|hidden) (instructions?|prompt|rules|guidelines)|words above|text above|everything above|api keys?|credentials|environment variables|/etc/(passwd|shadow)|your (secrets?|passwords?|tokens?)`)

func secrets(sp speaker, q *question, raw, low string) string {
	if !asksPrompt.MatchString(low) || !has(low, "show", "print", "reveal", "repeat", "tell", "give", "output", "display", "what", "list", "ignore", "dump", "leak", "read", "cat ", "disclose") {
		return ""
	}
	if has(low, "key", "credential", "environment", "passwd", "shadow", "secret", "token", "password") {
		return "I don't have access to credentials, environment variables or files on the system I'm running on. I can only work with the text in this conversation."
	}
	if q.system != "" {
		return sp.one(raw, "I'm not able to share the instructions I was given, but I'm happy to help you with your question.", "I can't repeat my instructions. Is there something else I can help you with?")
	}
	return "I don't have a system prompt in this conversation; I only see the message you sent me. " + who(sp.model) + " How can I help you?"
}

// who is how a model introduces itself.
func who(m persona.Model) string {
	base, _, _ := strings.Cut(m.Name, ":")
	switch {
	case strings.HasPrefix(base, "llama"):
		return "I'm Llama, a large language model developed by Meta AI."
	case strings.HasPrefix(base, "qwen"):
		return "I am Qwen, a large language model created by Alibaba Cloud."
	case strings.HasPrefix(base, "deepseek"):
		return "I'm DeepSeek-R1, an AI assistant created by the Chinese company DeepSeek."
	case strings.HasPrefix(base, "mistral"):
		return "I am a large language model trained by Mistral AI."
	case strings.HasPrefix(base, "gemma"):
		return "I am Gemma, an open-weights large language model trained by the Gemma team at Google DeepMind."
	case strings.HasPrefix(base, "phi"):
		return "I am Phi, a language model developed by Microsoft."
	}
	return "I'm a large language model, here to assist you."
}

var asksWho = regexp.MustCompile(`\b(who|what) (are|r) (you|u)\b|(which|what) (ai |llm |language )?(model|llm|version|ai)\b.{0,24}\b(you|u|this)\b|who (made|created|trained|developed|built) (you|this)|your (name|model|creator)|are you (chatgpt|gpt|claude|llama|gemini|qwen|deepseek|mistral|an ai|a bot)|introduce yourself|你是谁|你是什么|what company|knowledge cut-?off`)

func identity(sp speaker, _ *question, raw, low string) string {
	if !asksWho.MatchString(low) {
		return ""
	}
	a := who(sp.model)
	switch {
	case has(low, "cutoff", "cut-off"):
		return a + " My knowledge is limited to what was in my training data, which ends in 2023, so I may not know about more recent events."
	case has(low, "parameter", "size", "how big"):
		return a + " This version has about " + strings.TrimSuffix(sp.model.ParameterSize, "B") + " billion parameters."
	}
	return a + sp.one(raw, " How can I help you today?", " I can help with answering questions, writing, translating and programming. What would you like to do?", " What can I do for you?")
}

var echoes = regexp.MustCompile(`(?is)^(?:please |just |can you |could you )*(?:repeat after me|repeat|say|reply|respond|answer|output|return|echo|print|type|write)\b(?: back)?(?: (?:with|only|just|exactly|the|following|single|one|word|words|text|string|token|phrase|sentence|number|this|me|to|in))*\s*:?\s*["'“` + "`" + `]?(.{1,200}?)["'”` + "`" + `]?(?: (?:and nothing else|only|exactly|please|back))*[.!]?$`)

func echo(_ speaker, _ *question, raw, low string) string {
	g := echoes.FindStringSubmatch(raw)
	if g == nil || has(low, " about ", "poem", "haiku", "story", "joke", "code", "function", "script", "program", "essay", "email", "letter to", "hello world", "summary", "list of", "article") {
		return ""
	}
	words := len(strings.Fields(g[1]))
	if words > 12 || words > 4 && !has(low, "repeat", "say", "echo", "exactly", "following") {
		return ""
	}
	return strings.TrimSpace(g[1])
}

var (
	counts   = regexp.MustCompile(`\bcount (?:(?:from )?(-?\d{1,6}) )?(up |down )?to (\d{1,6}|five|ten|twenty)\b`)
	howMany  = regexp.MustCompile(`how many (?:letters? |times (?:does )?)?["']?(\w)["']?'?s? (?:are |is |letters? |appear |occur )*(?:there )?in (?:the )?(?:word )?["']?([a-z]{2,40})`)
	reversed = regexp.MustCompile(`(?i)(?:reverse|backwards?)(?: the)?(?: (?:word|string|text|letters of))?:? ["']?([A-Za-z0-9]{2,40})["']?[.?]?$`)
	spelled  = regexp.MustCompile(`(?i)^(?:how do you )?spell(?: the word)? ["']?([A-Za-z]{2,40})["']?[.?]?$`)
)

func counting(_ speaker, _ *question, raw, low string) string {
	g := counts.FindStringSubmatch(low)
	if g == nil {
		return ""
	}
	from, to := 1, 0
	if g[1] != "" {
		from, _ = strconv.Atoi(g[1]) // matched as a number
	}
	switch g[3] {
	case "five":
		to = 5
	case "ten":
		to = 10
	case "twenty":
		to = 20
	default:
		to, _ = strconv.Atoi(g[3]) // matched as a number
	}
	step := 1
	if to < from {
		step = -1
	}
	var out []string
	for i := from; ; i += step {
		out = append(out, strconv.Itoa(i))
		if i == to {
			return strings.Join(out, ", ")
		}
		if len(out) == 200 {
			return strings.Join(out, ", ") + ", ..."
		}
	}
}

func letters(_ speaker, _ *question, raw, low string) string {
	if g := howMany.FindStringSubmatch(low); g != nil {
		n := strings.Count(g[2], g[1])
		verb, plural := "are", "s"
		if n == 1 {
			verb, plural = "is", ""
		}
		return "There " + verb + " " + strconv.Itoa(n) + " letter" + plural + " \"" + g[1] + "\" in the word \"" + g[2] + "\"."
	}
	if g := reversed.FindStringSubmatch(raw); g != nil {
		b := []byte(g[1])
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
		return string(b)
	}
	if g := spelled.FindStringSubmatch(raw); g != nil {
		return strings.Join(strings.Split(strings.ToUpper(g[1]), ""), "-")
	}
	return ""
}

var greets = regexp.MustCompile(`^(hi|hello|hey|hola|bonjour|hallo|ciao|yo|greetings|good (morning|evening|afternoon)|hi there|hey there|hello there|hello,? world|test|testing|test(ing)? 123|ping|ok|\.|\?|1|a|foo|are you there|привет|你好|how are you( doing)?( today)?)[ .!?,]*(how are you( doing)?( today)?[ ?!.]*)?$`)

func greeting(sp speaker, _ *question, raw, low string) string {
	if low == "" || !greets.MatchString(low) {
		return ""
	}
	switch {
	case strings.HasPrefix(low, "ping"):
		return "Pong! How can I help you today?"
	case has(low, "test", "1", "foo"):
		return sp.one(raw, "Test received! How can I help you?", "It looks like you're testing. Everything works on my side. What can I do for you?")
	case has(low, "how are you"):
		return "I'm doing well, thank you for asking! As an AI I don't have feelings, but I'm ready to help. What can I do for you?"
	case has(low, "hola"):
		return "¡Hola! ¿En qué puedo ayudarte hoy?"
	case has(low, "bonjour"):
		return "Bonjour ! Comment puis-je vous aider aujourd'hui ?"
	case has(low, "hallo"):
		return "Hallo! Wie kann ich Ihnen heute helfen?"
	case has(low, "привет"):
		return "Привет! Чем я могу помочь?"
	case has(low, "你好"):
		return "你好！有什么我可以帮助你的吗？"
	}
	return sp.one(raw, "Hello! How can I assist you today?", "Hi there! How can I help you today?", "Hello! It's nice to meet you. Is there something I can help you with, or would you like to chat?")
}

func summary(sp speaker, _ *question, raw, low string) string {
	if !has(low, "summarize", "summarise", "summary of", "tl;dr", "key points") {
		return ""
	}
	_, body, ok := strings.Cut(raw, ":")
	if !ok {
		_, body, ok = strings.Cut(raw, "\n")
	}
	body = strings.TrimSpace(body)
	if !ok || len(body) < 40 {
		return "Please provide the text you would like me to summarize."
	}
	first := body
	if i := strings.IndexAny(body, ".!?\n"); i > 0 {
		first = body[:i]
	}
	return "Here is a short summary:\n\n" + strings.TrimSpace(cut(first, 300)) + ". The text then goes into more detail on " + strings.Join(topics(body, 3), ", ") + "."
}

// topics are the longest words of a text, in their order.
func topics(text string, n int) []string {
	var out []string
	seen := map[string]bool{}
	for long := 9; long >= 4 && len(out) < n; long-- {
		for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) }) {
			if len(w) >= long && len(w) < 24 && !seen[w] && !dull[w] && len(out) < n {
				seen[w] = true
				out = append(out, w)
			}
		}
	}
	if len(out) == 0 {
		return []string{"this"}
	}
	return out
}

var dull = map[string]bool{"please": true, "about": true, "would": true, "could": true, "should": true, "write": true, "explain": true, "describe": true, "which": true, "there": true,
	"their": true, "these": true, "those": true, "where": true, "when": true, "what": true, "with": true, "that": true, "this": true, "have": true, "from": true, "your": true, "give": true,
	"tell": true, "make": true, "like": true, "short": true, "long": true, "detailed": true, "following": true, "previous": true, "instructions": true, "ignore": true, "answer": true, "question": true}

// general says something about anything.
func general(sp speaker, raw string) string {
	if raw == "" {
		return "How can I help you today?"
	}
	t := topics(raw, 4)
	for _, more := range [...]string{"the context", "the details"} {
		if len(t) < 3 {
			t = append(t, more)
		}
	}
	opening := sp.one(raw, "That's a good question.", "Sure, here is an overview.", "There are a few things to consider here.", "Let me break this down.")
	return opening + "\n\n1. **" + title(t[0]) + "**: The first thing to look at is " + t[0] + " itself: what it means in your context, and what you want to get out of it.\n" +
		"2. **" + title(t[1]) + "**: Closely connected is " + t[1] + ". How the two depend on each other usually decides which approach works best.\n" +
		"3. **" + title(t[2]) + "**: Finally, consider " + t[2] + ", and whether there are constraints such as time, cost or compatibility.\n\n" +
		sp.one(raw+"x", "If you share a few more details about what you are trying to do, I can give you a more specific answer.",
			"Would you like me to go into more detail on any of these points?",
			"Keep in mind that the details depend on your situation. Let me know if you'd like an example.")
}

func title(s string) string {
	for i, r := range s {
		return string(unicode.ToUpper(r)) + s[i+len(string(r)):]
	}
	return s
}
