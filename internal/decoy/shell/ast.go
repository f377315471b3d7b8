package shell

// The syntax tree. It is built by the parser, bounded by the length of the
// line and Limits.Depth, and never changed afterwards.

// list is a sequence of and-or lists.
type list struct{ items []item }

type item struct {
	first *pipeline
	rest  []andOr
	bg    bool
}

type andOr struct {
	and bool // && or ||
	p   *pipeline
}

type pipeline struct {
	not  bool
	cmds []*command
}

type cmdKind uint8

const (
	cmdSimple cmdKind = iota
	cmdGroup          // { }
	cmdSub            // ( )
	cmdIf
	cmdWhile
	cmdUntil
	cmdFor
	cmdForArith // for ((;;))
	cmdCase
	cmdFunc
	cmdCond  // [[ ]]
	cmdArith // (( ))
)

type command struct {
	kind    cmdKind
	line    int
	assigns []assign
	words   []word
	redirs  []redir
	cond    *list // if, while
	body    *list
	els     *list
	name    string // loop variable or function name
	inWords bool   // for name in words...
	subject word
	arms    []arm
	fn      *command
	arith   [3]word
}

type assign struct {
	name   string
	index  word // name[index]=
	value  word
	append bool
	array  []word
	isArr  bool
}

type arm struct {
	pats []word
	body *list
	next bool // ;& falls through
}

type redir struct {
	fd   int // -1: the default of the operator
	op   string
	to   word
	here *heredoc
}

type heredoc struct {
	delim  string
	quoted bool
	strip  bool
	body   word
}

// word is a sequence of parts that become one or more fields.
type word []part

type partKind uint8

const (
	partLit    partKind = iota // unquoted text
	partQuoted                 // text in quotes or after a backslash
	partVar                    // $name and ${name...}
	partCmd                    // $(...) and `...`
	partArith                  // $((...))
	partDouble                 // "..."
)

type part struct {
	kind  partKind
	text  string // literal, variable name
	op    string // operator of ${name op arg}
	arg   word
	arg2  word // second operand of ${v/a/b} and ${v:o:l}
	index word // ${name[index]}
	body  *list
	inner word
}

// literal returns the text of a word without any quoting or expansion.
func (w word) literal() (string, bool) {
	if len(w) != 1 || w[0].kind != partLit {
		return "", false
	}
	return w[0].text, true
}
