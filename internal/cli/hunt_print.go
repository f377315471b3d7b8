package cli

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"bartizan/internal/lake/query"
)

// cellMax is how much of a cell a table shows; the other formats show all.
const cellMax = 160

func printAnswer(g *global, res *query.Result) error {
	w := bufio.NewWriter(g.env.Stdout)
	var err error
	switch g.format {
	case "json":
		err = printObjects(w, res, "[", ",\n ", "]\n")
	case "jsonl":
		err = printObjects(w, res, "", "\n", "\n")
	default:
		err = printTable(w, res)
	}
	if err != nil {
		return err
	}
	return w.Flush()
}

// printObjects writes a row as an object with the columns in their order; a second column of the same name gets a number.
func printObjects(w *bufio.Writer, res *query.Result, begin, between, end string) error {
	names := make([]string, len(res.Columns))
	seen := map[string]int{}
	for i, c := range res.Columns {
		seen[c.Name]++
		name := c.Name
		if n := seen[c.Name]; n > 1 {
			name += "_" + strconv.Itoa(n)
		}
		raw, err := json.Marshal(name)
		if err != nil {
			return err
		}
		names[i] = string(raw)
	}
	fmt.Fprint(w, begin)
	for i, row := range res.Rows {
		if i > 0 {
			fmt.Fprint(w, between)
		}
		fmt.Fprint(w, "{")
		for j, cell := range row {
			if j > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprint(w, names[j], ":")
			if _, err := w.Write(cell); err != nil {
				return err
			}
		}
		fmt.Fprint(w, "}")
	}
	if len(res.Rows) == 0 && begin == "" {
		return nil
	}
	_, err := fmt.Fprint(w, end)
	return err
}

func printTable(out io.Writer, res *query.Result) error {
	if len(res.Columns) == 2 && res.Columns[0].Name == "explain_key" {
		return printPlan(out, res)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for i, c := range res.Columns {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, oneLine(c.Name, cellMax))
	}
	fmt.Fprintln(w)
	for _, row := range res.Rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cellText(cell, res.Columns[i].Type))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// printPlan writes what EXPLAIN answers as the drawing it is.
func printPlan(out io.Writer, res *query.Result) error {
	for _, row := range res.Rows {
		var plan string
		if err := json.Unmarshal(row[1], &plan); err != nil {
			return err
		}
		for line := range strings.Lines(plan) {
			if _, err := fmt.Fprintln(out, oneLine(strings.TrimRight(line, "\n"), 400)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cellText is a JSON value for a person: texts without quotes, bytes as printable text.
func cellText(cell json.RawMessage, kind string) string {
	var s string
	switch {
	case string(cell) == "null":
		return "NULL"
	case len(cell) == 0 || cell[0] != '"' || json.Unmarshal(cell, &s) != nil:
		return oneLine(string(cell), cellMax)
	case kind == "BLOB":
		if b, err := base64.StdEncoding.DecodeString(s); err == nil {
			q := strconv.QuoteToASCII(string(b))
			s = q[1 : len(q)-1]
		}
	}
	return oneLine(s, cellMax)
}
