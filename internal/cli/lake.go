package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"bartizan/internal/lake"

	"github.com/spf13/cobra"
)

func lakeCmd(g *global) *cobra.Command {
	cmd := &cobra.Command{Use: "lake", Short: "Check, compact and fill the evidence lake", Args: cobra.NoArgs,
		Long: "The lake holds what was seen and concluded as Parquet files, by class, day and hour.\nThe verbs work on the folder, or with --lake s3://bucket/prefix on the bucket; a running node does not mind.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "lake", "", "folder of the lake, or s3://bucket/prefix (default: the folder of the node)")
	where := func(ctx context.Context) (place, error) {
		p, err := g.place(ctx, dir)
		p.only()
		return p, err
	}
	cmd.AddCommand(lakeCheckCmd(g, where), lakeCompactCmd(g, where), lakeImportCmd(g, where))
	return cmd
}

// lakeError gives what the lake says its exit code.
func lakeError(err error) error {
	switch {
	case errors.Is(err, lake.ErrNoLake):
		return blind(fmt.Errorf("%w; name the folder with --lake, or the node's data folder with --data", err))
	case err != nil:
		return blind(err)
	}
	return nil
}

func lakeCheckCmd(g *global, where func(context.Context) (place, error)) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Read every file and compare it with its checksum", Args: cobra.NoArgs,
		Long: "Reads every byte of the lake. A file that is not as it was written is named, with the reason.\nExit code 1: something is damaged, or could not be read; 3: the lake itself could not.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := where(cmd.Context())
			if err != nil {
				return err
			}
			r, err := at.check(cmd.Context())
			if err != nil {
				return lakeError(err)
			}
			if err := show(g, r, func(w io.Writer) error { return printCheck(w, at.String(), r) }); err != nil {
				return err
			}
			if len(r.Damaged) == 0 {
				return nil
			}
			if r.Damaged[0].File == "" { // the lake itself
				return &exitError{code: ExitBlind}
			}
			return &exitError{code: ExitFinding}
		},
	}
}

func printCheck(w io.Writer, dir string, r lake.Report) error {
	if len(r.Damaged) > 0 && r.Damaged[0].File == "" {
		_, err := fmt.Fprintf(w, "%s: nothing was checked: %s\n", dir, oneLine(r.Damaged[0].Reason, 300))
		return err
	}
	if err := printBad(w, r.Damaged); err != nil {
		return err
	}
	foreign := ""
	if r.Foreign > 0 {
		foreign = fmt.Sprintf(", %d of them written by another program: readable, but nothing says whether they are whole", r.Foreign)
	}
	_, err := fmt.Fprintf(w, "%s: %d files, %d rows, %d bytes are as they were written%s; %d damaged\n", dir, r.Files, r.Rows, r.Bytes, foreign, len(r.Damaged))
	return err
}

func printBad(w io.Writer, list []lake.NotLookedAt) error {
	for _, d := range list {
		if _, err := fmt.Fprintf(w, "%s: %s\n", oneLine(d.File, 200), oneLine(d.Reason, 300)); err != nil {
			return err
		}
	}
	return nil
}

func lakeCompactCmd(g *global, where func(context.Context) (place, error)) *cobra.Command {
	return &cobra.Command{
		Use: "compact", Short: "Merge small files and compress them better", Args: cobra.NoArgs,
		Long: "Rewrites every hour of every class that is not one compacted file. A node does this by itself when an hour is over.\n" +
			"Killing it at any moment loses and doubles nothing. Exit code 1: a file was left as it is because something is wrong with it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := where(cmd.Context())
			if err != nil {
				return err
			}
			c, err := at.compact(cmd.Context(), g.env.Version)
			if err != nil {
				return lakeError(err)
			}
			if err := show(g, c, func(w io.Writer) error { return printCompacted(w, c) }); err != nil {
				return err
			}
			if len(c.Left) > 0 {
				return &exitError{code: ExitFinding}
			}
			return nil
		},
	}
}

func printCompacted(w io.Writer, c lake.Compacted) error {
	if err := printBad(w, c.Left); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d files became %d: %d rows in %d hours of a class, %d bytes became %d\n", c.Before, c.After, c.Rows, c.Partitions, c.BytesIn, c.BytesOut)
	return err
}

func lakeImportCmd(g *global, where func(context.Context) (place, error)) *cobra.Command {
	return &cobra.Command{
		Use: "import FILE.jsonl…", Short: "Fill a lake with signals and observations from JSON lines", Args: cobra.MinimumNArgs(1),
		Long: "Reads what the program prints: signals (\"bartizan signals --format jsonl\") and observations, one per line; - is the standard input.\n" +
			"The lake is made when there is none. Importing a file twice stores it twice. Exit code 1: lines were left out; they are named.",
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := where(cmd.Context())
			if err != nil {
				return err
			}
			sum := lake.Imported{Bad: []lake.BadLine{}}
			if err := importFiles(cmd.Context(), g, &at, args, &sum); err != nil {
				return err
			}
			if err := show(g, sum, func(w io.Writer) error { return printImported(w, at.String(), sum) }); err != nil {
				return err
			}
			if sum.BadLines > 0 {
				return &exitError{code: ExitFinding}
			}
			return nil
		},
	}
}

// importFiles opens all files first: a misspelt name imports nothing.
func importFiles(ctx context.Context, g *global, at *place, names []string, sum *lake.Imported) (err error) {
	var in []io.Reader
	for _, name := range names {
		if name == "-" {
			in = append(in, g.env.Stdin)
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return usage(err)
		}
		defer f.Close()
		if st, err := f.Stat(); err != nil || st.IsDir() {
			return usage(fmt.Errorf("lake import: %q is a folder", name))
		}
		in = append(in, f)
	}
	return lakeError(at.fill(ctx, g.env.Version, func(dir string) error {
		l, err := lake.Open(dir, lake.Options{Product: g.env.Version, MaxEvidence: 1 << 30})
		if err != nil {
			return err
		}
		for i, r := range in {
			if err := l.Import(ctx, names[i], r, sum); err != nil {
				return err
			}
		}
		return nil
	}))
}

func printImported(w io.Writer, dir string, sum lake.Imported) error {
	var b strings.Builder
	for _, x := range sum.Bad {
		fmt.Fprintf(&b, "%s:%d: %s\n", oneLine(x.File, 200), x.Line, oneLine(x.Reason, 300))
	}
	if more := sum.BadLines - int64(len(sum.Bad)); more > 0 {
		fmt.Fprintf(&b, "… and %d lines more\n", more)
	}
	fmt.Fprintf(&b, "%s: %d signals and %d observations imported, %d of %d lines left out\n", dir, sum.Signals, sum.Observations, sum.BadLines, sum.Lines)
	_, err := io.WriteString(w, b.String())
	return err
}
