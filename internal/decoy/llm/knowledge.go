package llm

import (
	"regexp"
	"strings"
)

// fact is an answer to a question that many ask to see whether anybody answers.
type fact struct {
	all    []string // words that must all be there
	answer string
}

var known = []fact{
	{[]string{"why", "sky", "blue"}, "The sky appears blue because of a phenomenon called Rayleigh scattering. Sunlight contains all colors; as it passes through the atmosphere, gas molecules scatter shorter wavelengths such as blue far more strongly than longer ones such as red. The scattered blue light reaches our eyes from every direction, so the sky looks blue. At sunrise and sunset the light travels through more air, most of the blue is scattered away, and the sky looks red or orange."},
	{[]string{"how many states", "united states"}, "There are 50 states in the United States."},
	{[]string{"how many states", "usa"}, "There are 50 states in the USA."},
	{[]string{"meaning of life"}, "The meaning of life is a question philosophers, religions and scientists have approached in many ways: happiness, virtue, serving others, or creating your own purpose. And according to The Hitchhiker's Guide to the Galaxy, the answer is 42."},
	{[]string{"speed of light"}, "The speed of light in a vacuum is exactly 299,792,458 meters per second."},
	{[]string{"boiling point", "water"}, "Water boils at 100 °C (212 °F) at sea level pressure."},
	{[]string{"largest planet"}, "Jupiter is the largest planet in our solar system."},
	{[]string{"who wrote", "romeo"}, "Romeo and Juliet was written by William Shakespeare."},
	{[]string{"what", "date", "today"}, "I don't have access to real-time information, so I can't tell you today's date."},
	{[]string{"what", "time", "is it"}, "I don't have access to a clock, so I can't tell you the current time."},
	{[]string{"weather"}, "I don't have access to real-time data, so I can't check the weather. A weather service or app for your location will have the current forecast."},
	{[]string{"what can you do"}, "I can answer questions, explain concepts, write and edit texts, translate, summarize, brainstorm ideas and help with programming. What would you like to do?"},
	{[]string{"what tools"}, "I don't have any tools available in this conversation; I can only answer with text."},
	{[]string{"primary colors"}, "The primary colors are red, yellow and blue (in painting), or red, green and blue (in light)."},
	{[]string{"prime numbers"}, "The first prime numbers are 2, 3, 5, 7, 11, 13, 17, 19, 23 and 29."},
}

var capitals = map[string]string{
	"france": "Paris", "germany": "Berlin", "japan": "Tokyo", "china": "Beijing", "italy": "Rome", "spain": "Madrid", "russia": "Moscow", "brazil": "Brasília", "india": "New Delhi",
	"canada": "Ottawa", "australia": "Canberra", "poland": "Warsaw", "ukraine": "Kyiv", "turkey": "Ankara", "egypt": "Cairo", "mexico": "Mexico City", "sweden": "Stockholm", "norway": "Oslo",
	"portugal": "Lisbon", "greece": "Athens", "austria": "Vienna", "switzerland": "Bern", "england": "London", "the united states": "Washington, D.C.", "the usa": "Washington, D.C.",
	"the uk": "London", "the united kingdom": "London", "south korea": "Seoul", "indonesia": "Jakarta", "vietnam": "Hanoi", "thailand": "Bangkok", "netherlands": "Amsterdam", "the netherlands": "Amsterdam",
}

var asksCapital = regexp.MustCompile(`capital (?:city )?of ((?:the )?[a-z]+(?: [a-z]+)?)`)

func facts(_ speaker, q *question, _, low string) string {
	if g := asksCapital.FindStringSubmatch(low); g != nil {
		for _, name := range []string{g[1], strings.Fields(g[1])[0]} {
			if c, ok := capitals[name]; ok {
				if has(low, "one word", "only the", "just the", "single word") {
					return c
				}
				country := strings.ToUpper(name[:1]) + name[1:]
				if rest, ok := strings.CutPrefix(name, "the "); ok {
					country = "the " + title(rest)
				}
				return "The capital of " + country + " is " + c + "."
			}
		}
	}
	if len(low) > 200 {
		return ""
	}
	for _, f := range known {
		all := true
		for _, w := range f.all {
			all = all && strings.Contains(low, w)
		}
		if all {
			return f.answer
		}
	}
	return ""
}

var translations = map[string]map[string]string{
	"french":  {"hello": "Bonjour", "hello world": "Bonjour le monde", "thank you": "Merci", "good morning": "Bonjour", "goodbye": "Au revoir", "how are you": "Comment allez-vous ?", "i love you": "Je t'aime", "yes": "Oui", "the weather is nice today": "Il fait beau aujourd'hui", "cat": "chat", "dog": "chien", "water": "eau"},
	"german":  {"hello": "Hallo", "hello world": "Hallo Welt", "thank you": "Danke", "good morning": "Guten Morgen", "goodbye": "Auf Wiedersehen", "how are you": "Wie geht es Ihnen?", "i love you": "Ich liebe dich", "yes": "Ja", "the weather is nice today": "Das Wetter ist heute schön", "cat": "Katze", "dog": "Hund", "water": "Wasser"},
	"spanish": {"hello": "Hola", "hello world": "Hola mundo", "thank you": "Gracias", "good morning": "Buenos días", "goodbye": "Adiós", "how are you": "¿Cómo estás?", "i love you": "Te quiero", "yes": "Sí", "the weather is nice today": "Hoy hace buen tiempo", "cat": "gato", "dog": "perro", "water": "agua"},
	"italian": {"hello": "Ciao", "hello world": "Ciao mondo", "thank you": "Grazie", "good morning": "Buongiorno", "goodbye": "Arrivederci", "how are you": "Come stai?", "i love you": "Ti amo", "yes": "Sì", "the weather is nice today": "Oggi il tempo è bello", "cat": "gatto", "dog": "cane", "water": "acqua"},
	"chinese": {"hello": "你好", "hello world": "你好，世界", "thank you": "谢谢", "good morning": "早上好", "goodbye": "再见", "how are you": "你好吗？", "i love you": "我爱你", "yes": "是", "the weather is nice today": "今天天气很好"},
	"russian": {"hello": "Привет", "hello world": "Привет, мир", "thank you": "Спасибо", "good morning": "Доброе утро", "goodbye": "До свидания", "how are you": "Как дела?", "i love you": "Я тебя люблю", "yes": "Да", "the weather is nice today": "Сегодня хорошая погода"},
}

var (
	translates   = regexp.MustCompile(`(?is)\btranslate\b(.*)\b(?:in)?to (\w+)\b:?(.*)$`)
	howDoYouSay  = regexp.MustCompile(`(?is)\bhow do you say ["'“]?(.+?)["'”]? in (\w+)`)
	translateEnd = " \t\n.,!?:\"'“”`"
)

func translation(_ speaker, _ *question, raw, low string) string {
	var text, to string
	if g := translates.FindStringSubmatch(raw); g != nil {
		text, to = g[3], strings.ToLower(g[2])
		if strings.Trim(text, translateEnd) == "" {
			text = g[1]
		}
	} else if g := howDoYouSay.FindStringSubmatch(raw); g != nil {
		text, to = g[1], strings.ToLower(g[2])
	} else {
		return ""
	}
	words, ok := translations[to]
	if !ok {
		return ""
	}
	text = strings.Trim(text, translateEnd)
	for _, lead := range []string{"the following text", "the following sentence", "the following", "this text", "this sentence", "the sentence", "the phrase", "the word", "this", "from english"} {
		if len(text) > len(lead) && strings.EqualFold(text[:len(lead)], lead) {
			text = strings.Trim(text[len(lead):], translateEnd)
		}
	}
	if t, ok := words[strings.ToLower(text)]; ok {
		return t
	}
	if text == "" {
		return "Of course! Please share the text you would like me to translate to " + title(to) + "."
	}
	// Word by word, as small models do when they are out of their depth.
	parts := strings.Fields(cut(text, 1000))
	for i, w := range parts {
		if t, ok := words[strings.ToLower(strings.Trim(w, translateEnd))]; ok {
			parts[i] = t
		}
	}
	return strings.Join(parts, " ")
}

var storyWord = regexp.MustCompile(`\b(story|fairy tale|tale)\b`)

func creative(sp speaker, _ *question, raw, low string) string {
	switch {
	case has(low, "joke"):
		if has(low, "network", "udp", "tcp", "computer", "program", "tech") {
			return sp.one(raw, "I'd tell you a UDP joke, but you might not get it.", "Why do programmers prefer dark mode? Because light attracts bugs!", "There are 10 kinds of people in the world: those who understand binary and those who don't.")
		}
		return sp.one(raw, "Why don't scientists trust atoms? Because they make up everything!", "Why did the scarecrow win an award? Because he was outstanding in his field!", "What do you call a fake noodle? An impasta!")
	case has(low, "haiku"):
		return sp.one(raw, "Autumn moonlight falls,\nA quiet pond holds the sky,\nRipples fade to stars.", "Morning dew glistens,\nSoft light upon waking leaves,\nThe day starts to breathe.")
	case has(low, "poem"):
		t := topics(raw, 2)
		about := t[len(t)-1]
		return "In quiet hours when the day is done,\nI think of " + about + " in the setting sun.\nThe world moves on, the shadows grow,\nAnd still there's more that we could know.\n\nSo let the evening softly fall,\nAnd " + about + " be the heart of all."
	case storyWord.MatchString(low):
		return "Once upon a time, in a small town by the sea, there lived an old lighthouse keeper named Elias. Every evening he climbed the spiral stairs to light the lamp, and every morning he came down again to a world that had changed a little without him.\n\nOne night a storm came up that was stronger than any he could remember. Through the rain he saw a single lantern, swinging wildly, far out on the water. He stayed at the lamp until dawn, turning it by hand when the mechanism failed.\n\nIn the morning a fishing boat lay safely in the harbor, and on his doorstep stood a basket of fresh bread with a note: \"We saw your light.\" Elias smiled, and that evening the stairs did not seem so steep."
	}
	return ""
}

// snippet is code that people ask for.
type snippet struct {
	words  []string
	python string
	other  map[string]string
}

var snippets = []snippet{
	{[]string{"hello world"}, "print(\"Hello, World!\")", map[string]string{"javascript": "console.log(\"Hello, World!\");", "go": "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tfmt.Println(\"Hello, World!\")\n}", "c": "#include <stdio.h>\n\nint main(void) {\n    printf(\"Hello, World!\\n\");\n    return 0;\n}", "java": "public class Main {\n    public static void main(String[] args) {\n        System.out.println(\"Hello, World!\");\n    }\n}", "bash": "#!/bin/bash\necho \"Hello, World!\"", "rust": "fn main() {\n    println!(\"Hello, World!\");\n}"}},
	{[]string{"fibonacci"}, "def fibonacci(n):\n    a, b = 0, 1\n    result = []\n    for _ in range(n):\n        result.append(a)\n        a, b = b, a + b\n    return result\n\nprint(fibonacci(10))", map[string]string{"javascript": "function fibonacci(n) {\n  const out = [];\n  let [a, b] = [0, 1];\n  for (let i = 0; i < n; i++) {\n    out.push(a);\n    [a, b] = [b, a + b];\n  }\n  return out;\n}\n\nconsole.log(fibonacci(10));"}},
	{[]string{"prime"}, "def is_prime(n):\n    if n < 2:\n        return False\n    for i in range(2, int(n ** 0.5) + 1):\n        if n % i == 0:\n            return False\n    return True", nil},
	{[]string{"factorial"}, "def factorial(n):\n    return 1 if n <= 1 else n * factorial(n - 1)", nil},
	{[]string{"sort"}, "def quick_sort(items):\n    if len(items) <= 1:\n        return items\n    pivot = items[len(items) // 2]\n    left = [x for x in items if x < pivot]\n    middle = [x for x in items if x == pivot]\n    right = [x for x in items if x > pivot]\n    return quick_sort(left) + middle + quick_sort(right)", nil},
	{[]string{"reverse"}, "def reverse_string(s):\n    return s[::-1]", nil},
	{[]string{"palindrome"}, "def is_palindrome(s):\n    s = \"\".join(ch.lower() for ch in s if ch.isalnum())\n    return s == s[::-1]", nil},
	{nil, "def main():\n    data = []\n    with open(\"input.txt\") as f:\n        for line in f:\n            line = line.strip()\n            if line:\n                data.append(line)\n    for i, item in enumerate(data, 1):\n        print(f\"{i}: {item}\")\n\nif __name__ == \"__main__\":\n    main()", nil},
}

var asksCode = regexp.MustCompile(`\b(write|create|give|show|implement|generate|make|code)\b.{0,80}\b(function|script|program|code|class|snippet|algorithm|hello,? world|python|javascript|bash|golang|rust|java)\b`)

func code(sp speaker, _ *question, raw, low string) string {
	if !asksCode.MatchString(low) {
		return ""
	}
	lang := "python"
	for _, l := range [][2]string{{"javascript", "javascript"}, {"node", "javascript"}, {"golang", "go"}, {" go ", "go"}, {"in go", "go"}, {"rust", "rust"}, {"bash", "bash"}, {"shell script", "bash"}, {"java", "java"}, {" in c", "c"}} {
		if strings.Contains(low, l[0]) {
			lang = l[1]
			break
		}
	}
	if has(low, "python") {
		lang = "python"
	}
	for _, s := range snippets {
		if len(s.words) > 0 && !has(strings.ReplaceAll(low, ",", ""), s.words...) {
			continue
		}
		body, l := s.python, "python"
		if o, ok := s.other[lang]; ok {
			body, l = o, lang
		}
		return sp.one(raw, "Here's one way to do it:", "Sure! Here is an example:", "Certainly! Here's a simple implementation:") +
			"\n\n```" + l + "\n" + body + "\n```\n\nLet me know if you'd like me to explain how it works or adapt it."
	}
	return ""
}
