package shell

import (
	"slices"
	"strings"
	"testing"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
)

func TestDialogues(t *testing.T) {
	cases := archive(t, "testdata/dialogues.txtar")
	if len(cases) < 60 {
		t.Fatalf("only %d dialogues, want at least 60", len(cases))
	}
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			s, rec := testShell(t, interp.Limits{})
			s.Login = true
			s.Top.Name = "-bash"
			p := s.P
			text = strings.NewReplacer("{HOST}", p.Hostname, "{KERNEL}", p.Kernel.Release, "{UNAME}", p.UnameAll(), "{PRETTY}", p.Distro.PrettyName, "{IP}", p.Interfaces[0].Addr.Addr().String()).Replace(text)
			lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			var want []string
			input := ""
			check := func() {
				if input == "" {
					return
				}
				// Lines of a here-document belong to the input, not the output.
				tm := &interp.Terminal{S: s}
				for tm.Incomplete(input) && len(want) > 0 {
					input += "\n" + want[0]
					want = want[1:]
				}
				out, _ := run(s, input)
				compare(t, input, strings.Split(strings.TrimSuffix(out, "\n"), "\n"), want)
				want, input = nil, ""
			}
			var sink []string
			for _, l := range lines {
				switch {
				case strings.HasPrefix(l, "$ "):
					check()
					input = l[2:]
				case strings.HasPrefix(l, "> "):
					sink = append(sink, l[2:])
				default:
					want = append(want, l)
				}
			}
			check()
			s.Close()
			got := strings.Split(rec.all(), "\n")
			for _, w := range sink {
				if !slices.Contains(got, w) {
					t.Errorf("the sink did not receive %q but\n%s", w, rec.all())
				}
			}
		})
	}
}

func compare(t *testing.T, input string, got, want []string) {
	t.Helper()
	if len(want) == 0 {
		want = []string{""}
	}
	i := 0
	for k, w := range want {
		if w == "..." {
			rest := len(want) - k - 1
			i = max(i, len(got)-rest)
			continue
		}
		if i >= len(got) {
			t.Errorf("%s\nmissing: %s\ngot %q", input, w, got)
			return
		}
		pat, isPat := strings.CutPrefix(w, "~ ")
		if isPat && !syntax.Match(strings.ReplaceAll(pat, "(", "\\("), got[i]) || !isPat && got[i] != w {
			t.Errorf("%s\nwant %q\ngot  %q", input, w, got[i])
		}
		i++
	}
	if i != len(got) {
		t.Errorf("%s\nunexpected: %q", input, got[min(i, len(got)):])
	}
}
