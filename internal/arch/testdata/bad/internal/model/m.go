package model

import (
	_ "github.com/goccy/go-yaml" // want model-std-only

	_ "bartizan/internal/observe" // want order
	_ "strings"
)

type Bag struct {
	Name   string
	Things map[string]any // want untyped-bag
	hidden map[string]any
	Inner  struct {
		Deep []map[string]interface{} // want untyped-bag
	}
}

func Give(in map[string]any)              {} // want untyped-bag
func keep(in map[string]any)              {}
func (Bag) Method() (x map[string]any)    { return nil } // want untyped-bag
func Fine(map[string]string, map[int]any) {}

type Reader interface {
	Read() map[string]any // want untyped-bag
}
