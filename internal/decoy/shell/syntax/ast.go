// Package syntax parses the shell language: grammar, words, patterns, escapes
// and arithmetic. It evaluates nothing that has an effect, and everything it
// builds is bounded by the text and a nesting limit.
package syntax

// The syntax tree. It is built by the parser, bounded by the length of the
// line and Limits.Depth, and never changed afterwards.

// List is a sequence of and-or lists.
type List struct{ Items []Item }

type Item struct {
	First *Pipeline
	Rest  []andOr
	Bg    bool
}

type andOr struct {
	And bool // && or ||
	P   *Pipeline
}

type Pipeline struct {
	Not  bool
	Cmds []*Command
}

type cmdKind uint8

const (
	CmdSimple cmdKind = iota
	CmdGroup          // { }
	CmdSub            // ( )
	CmdIf
	CmdWhile
	CmdUntil
	CmdFor
	CmdForArith // for ((;;))
	CmdCase
	CmdFunc
	CmdCond  // [[ ]]
	CmdArith // (( ))
)

type Command struct {
	Kind    cmdKind
	Line    int
	Assigns []Assign
	Words   []Word
	Redirs  []Redir
	Cond    *List // if, while
	Body    *List
	Els     *List
	Name    string // loop variable or function name
	InWords bool   // for name in words...
	Subject Word
	Arms    []arm
	Fn      *Command
	Arith   [3]Word
}

type Assign struct {
	Name   string
	Index  Word // name[index]=
	Value  Word
	Append bool
	Array  []Word
	IsArr  bool
}

type arm struct {
	Pats []Word
	Body *List
	Next bool // ;& falls through
}

type Redir struct {
	Fd   int // -1: the default of the operator
	Op   string
	To   Word
	Here *heredoc
}

type heredoc struct {
	delim  string
	quoted bool
	strip  bool
	Body   Word
}

// Word is a sequence of parts that become one or more fields.
type Word []Part

type partKind uint8

const (
	PartLit    partKind = iota // unquoted text
	PartQuoted                 // text in quotes or after a backslash
	PartVar                    // $name and ${name...}
	PartCmd                    // $(...) and `...`
	PartArith                  // $((...))
	PartDouble                 // "..."
)

type Part struct {
	Kind  partKind
	Text  string // literal, variable name
	Op    string // operator of ${name op arg}
	Arg   Word
	Arg2  Word // second operand of ${v/a/b} and ${v:o:l}
	Index Word // ${name[index]}
	Body  *List
	Inner Word
}

// literal returns the text of a word without any quoting or expansion.
func (w Word) literal() (string, bool) {
	if len(w) != 1 || w[0].Kind != PartLit {
		return "", false
	}
	return w[0].Text, true
}
