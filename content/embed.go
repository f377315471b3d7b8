// Package content is the data the program ships: detection rules and whatever
// else is text rather than code. It imports the standard library only and
// knows nothing about the meaning of what it carries.
package content

import (
	"embed"
	"io/fs"
)

//go:embed rules sigma hunts dns
var files embed.FS

// Rules is the folder of detection rules, one sub-folder per group.
func Rules() fs.FS { return sub("rules") }

// Sigma is the folder of field mappings for Sigma rules.
func Sigma() fs.FS { return sub("sigma") }

// Hunts is the folder of saved hunts, one .sql file each.
func Hunts() fs.FS { return sub("hunts") }

// DNS is the folder of what is known about names: what their letters cost,
// services whose names carry data, shared networks, mining pools.
func DNS() fs.FS { return sub("dns") }

func sub(dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic("BUG: content: " + err.Error()) // only for a malformed constant
	}
	return f
}

//go:embed prices/models.yaml
var prices []byte

// Prices is what models cost, with sources and date.
func Prices() []byte { return prices }

//go:embed prices/tokens.yaml
var tokens []byte

// Tokens is what the parts of a text are worth in tokens, by vocabulary.
func Tokens() []byte { return tokens }

//go:embed models/injection.bin
var guardModel []byte

// GuardModel is the file of the guard's injection classifier (models/injection.md is
// its card). It must not be changed.
func GuardModel() []byte { return guardModel }

//go:embed words/grams.bin
var wordGrams []byte

// WordGrams is which letters words have (words/README.md). It must not be changed.
func WordGrams() []byte { return wordGrams }
