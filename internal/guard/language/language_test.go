package language

import (
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
	for _, bad := range []Config{{Share: 0}, {Share: 1, Scripts: []string{"Klingon"}}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
