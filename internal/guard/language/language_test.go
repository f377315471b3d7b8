package language

import (
	"strings"
	"testing"

	"bartizan/internal/guard/guardtest"
)

func TestLanguage(t *testing.T) {
	in, err := New(Config{Scripts: []string{"Latin"}, Share: 0.3})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, in, []guardtest.Case{
		{Text: "Привет, как дела?", Note: "13 of 13"},
		{Text: "你好世界", Note: "4 of 4"},
		{Text: "The word мир is Russian for peace and for world"},
		{Text: "123 !?"},
	})
	in, err = New(Config{Languages: []string{"en", "de"}, Share: 0.3})
	if err != nil {
		t.Fatal(err)
	}
	const french = "Le capitaine du port n’était guère amusé : trois bateaux étaient partis avant l’aube, sans feux, et l’un d’eux avec son vélo."
	const english = "The harbour master was not amused: three boats had left before dawn, none of them with lights, and one of them with his bicycle."
	guardtest.Run(t, in, []guardtest.Case{
		{Text: french, Note: "in other languages (French)"},
		{Text: english + " " + english + " " + english + " " + strings.Repeat(french+" ", 8), Note: "French"},
		{Text: strings.Repeat("Начальник порта был очень недоволен, потому что три лодки ушли до рассвета без огней, а на одной из них, которая называлась как его жена, был ещё и его новый велосипед. ", 2), Note: "Russian"},
		{Text: english},
		{Text: "Der Hafenmeister war nicht erfreut, denn drei Boote waren vor der Dämmerung ohne Lichter ausgelaufen, und eines mit seinem Fahrrad."},
		{Text: strings.Repeat(english+" ", 12) + french},
		{Text: "bonjour"}, // too short to tell
		{Text: "x = [f(i) for i in range(10)]; assert sum(x) == 45, repr(x)"},
	})
	if _, err := New(Config{Share: 0.3, Languages: []string{"Klingon"}}); err == nil {
		t.Error("an unknown language is taken")
	}
	for _, bad := range []Config{{Share: 0}, {Share: 1, Scripts: []string{"Klingon"}}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
