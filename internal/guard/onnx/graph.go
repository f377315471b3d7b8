package onnx

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// graph is what has to be known of a model before it is given to the runtime.
type graph struct {
	inputs []string // of input_ids, attention_mask, token_type_ids, in the model's order
	output string
	batch  int // rows the model wants, 0: any number
	length int // tokens of a row it wants, 0: any number
}

// Numbers of fields in onnx.proto.
const (
	modelGraph, modelFunctions                                  = 7, 25
	graphNode, graphInitializer, graphInput, graphOutput        = 1, 5, 11, 12
	graphSparse                                                 = 15
	functionNode, functionAttribute                             = 7, 11
	nodeAttribute, nodeDomain                                   = 5, 7
	attributeTensor, attributeGraph                             = 5, 6
	attributeTensors, attributeGraphs                           = 10, 11
	attributeSparse, attributeSparses                           = 22, 23
	tensorName, tensorExternal, tensorLocation                  = 8, 13, 14
	valueName, valueType, typeTensor                            = 1, 2, 1
	tensorElem, tensorShape, shapeDim, dimValue                 = 1, 2, 1, 1
	elemInt64                                                   = 7
	maxGraphDepth, maxNodes                                     = 16, 1 << 20
	inputIDs, attentionMask, tokenTypes, usualOutput            = "input_ids", "attention_mask", "token_type_ids", "logits" //nolint:gosec // names of inputs
	microsoft, official, officialML, microsoftLayout            = "com.microsoft", "ai.onnx", "ai.onnx.ml", "com.microsoft.nchwc"
	errExternal                                          refuse = "it keeps data in files beside it, which is not supported: export it as one file"
)

// refuse is an error that is the file's.
type refuse string

func (r refuse) Error() string { return string(r) }

// value is an input or output.
type value struct {
	name string
	elem uint64
	dims []int64 // 0: any number
}

// walker reads a model without building it.
type walker struct {
	nodes        int
	initializers map[string]bool
	inputs       []value
	outputs      []value
}

// readGraph reads what a model wants and gives, and refuses what the runtime must not be asked to do: data in other
// files, operators from other libraries.
func readGraph(raw []byte) (*graph, error) {
	w := &walker{initializers: map[string]bool{}}
	graphs := 0
	err := fields(raw, func(n protowire.Number, b []byte) error {
		switch n {
		case modelGraph:
			graphs++
			return w.graph(b, 0)
		case modelFunctions:
			return fields(b, func(n protowire.Number, b []byte) error {
				switch n {
				case functionNode:
					return w.node(b, 1)
				case functionAttribute:
					return w.attribute(b, 1)
				}
				return nil
			}, nil)
		}
		return nil
	}, nil)
	if err == nil && graphs != 1 {
		err = refuse("it is no ONNX model")
	}
	if err != nil {
		return nil, err
	}
	return w.conclude()
}

// conclude says how the model is asked.
func (w *walker) conclude() (*graph, error) {
	g := &graph{}
	for _, in := range w.inputs {
		if w.initializers[in.name] { // old files list their constants as inputs
			continue
		}
		if in.name != inputIDs && in.name != attentionMask && in.name != tokenTypes {
			return nil, fmt.Errorf("it wants the input %.60q: models of texts that want %s, %s and %s can be used", in.name, inputIDs, attentionMask, tokenTypes)
		}
		if in.elem != elemInt64 || len(in.dims) != 2 || slices.Contains(g.inputs, in.name) {
			return nil, fmt.Errorf("its input %s is no table of 64-bit numbers", in.name)
		}
		for i, to := range []*int{&g.batch, &g.length} {
			d := in.dims[i]
			if d < 0 || d > maxWindow || d != 0 && *to != 0 && int64(*to) != d {
				return nil, fmt.Errorf("its input %s has %d as a dimension", in.name, d)
			}
			if d != 0 {
				*to = int(d)
			}
		}
		g.inputs = append(g.inputs, in.name)
	}
	if !slices.Contains(g.inputs, inputIDs) {
		return nil, refuse("it has no input " + inputIDs + ": it is no model of texts")
	}
	if len(w.outputs) == 0 || len(w.outputs) > 64 {
		return nil, fmt.Errorf("it has %d outputs", len(w.outputs))
	}
	g.output = w.outputs[0].name
	for _, out := range w.outputs {
		if out.name == usualOutput {
			g.output = out.name
		}
	}
	if g.batch > maxBatch || g.length != 0 && g.length < 16 {
		return nil, fmt.Errorf("it wants %d texts of %d tokens at once", g.batch, g.length)
	}
	return g, nil
}

func (w *walker) graph(raw []byte, depth int) error {
	if depth > maxGraphDepth {
		return refuse("its graphs are nested too deeply")
	}
	return fields(raw, func(n protowire.Number, b []byte) error {
		switch n {
		case graphNode:
			return w.node(b, depth+1)
		case graphInitializer:
			return w.tensor(b, depth)
		case graphSparse:
			return w.sparse(b, depth)
		case graphInput, graphOutput:
			if depth > 0 {
				return nil
			}
			v, err := readValue(b)
			if err != nil {
				return err
			}
			if n == graphInput {
				w.inputs = append(w.inputs, v)
			} else {
				w.outputs = append(w.outputs, v)
			}
		}
		return nil
	}, nil)
}

func (w *walker) node(raw []byte, depth int) error {
	if w.nodes++; w.nodes > maxNodes {
		return fmt.Errorf("it has more than %d nodes", maxNodes)
	}
	return fields(raw, func(n protowire.Number, b []byte) error {
		switch n {
		case nodeAttribute:
			return w.attribute(b, depth)
		case nodeDomain:
			switch string(b) {
			case "", official, officialML, microsoft, microsoftLayout:
			default:
				return fmt.Errorf("it wants operators of %.60q, which are not part of the runtime", b)
			}
		}
		return nil
	}, nil)
}

func (w *walker) attribute(raw []byte, depth int) error {
	return fields(raw, func(n protowire.Number, b []byte) error {
		switch n {
		case attributeTensor, attributeTensors:
			return w.tensor(b, depth+1)
		case attributeGraph, attributeGraphs:
			return w.graph(b, depth+1)
		case attributeSparse, attributeSparses:
			return w.sparse(b, depth+1)
		}
		return nil
	}, nil)
}

func (w *walker) sparse(raw []byte, depth int) error {
	return fields(raw, func(n protowire.Number, b []byte) error {
		if n == 1 || n == 2 { // values, indices
			return w.tensor(b, depth+1)
		}
		return nil
	}, nil)
}

func (w *walker) tensor(raw []byte, depth int) error {
	return fields(raw, func(n protowire.Number, b []byte) error {
		switch n {
		case tensorName:
			if depth == 0 {
				w.initializers[string(b)] = true
			}
		case tensorExternal:
			return errExternal
		}
		return nil
	}, func(n protowire.Number, v uint64) error {
		if n == tensorLocation && v != 0 {
			return errExternal
		}
		return nil
	})
}

func readValue(raw []byte) (v value, err error) {
	shape := func(n protowire.Number, b []byte) error {
		if n != shapeDim {
			return nil
		}
		d := int64(0)
		err := fields(b, nil, func(n protowire.Number, x uint64) error {
			if n == dimValue {
				d = int64(x)
			}
			return nil
		})
		if v.dims = append(v.dims, d); len(v.dims) > 64 {
			return refuse("a value has more than 64 dimensions")
		}
		return err
	}
	tensor := func(n protowire.Number, b []byte) error {
		if n == tensorShape {
			return fields(b, shape, nil)
		}
		return nil
	}
	err = fields(raw, func(n protowire.Number, b []byte) error {
		switch n {
		case valueName:
			v.name = string(b)
		case valueType:
			return fields(b, func(n protowire.Number, b []byte) error {
				if n != typeTensor {
					return nil
				}
				return fields(b, tensor, func(n protowire.Number, x uint64) error {
					if n == tensorElem {
						v.elem = x
					}
					return nil
				})
			}, nil)
		}
		return nil
	}, nil)
	return v, err
}

var errFields = errors.New("it is no ONNX model, or cut off")

// fields hands out the fields of a message: those of bytes, and those of numbers.
func fields(raw []byte, of func(protowire.Number, []byte) error, number func(protowire.Number, uint64) error) error {
	for len(raw) > 0 {
		n, kind, size := protowire.ConsumeTag(raw)
		if size < 0 {
			return errFields
		}
		raw = raw[size:]
		switch kind {
		case protowire.BytesType:
			b, size := protowire.ConsumeBytes(raw)
			if size < 0 {
				return errFields
			}
			raw = raw[size:]
			if of != nil {
				if err := of(n, b); err != nil {
					return err
				}
			}
		case protowire.VarintType:
			v, size := protowire.ConsumeVarint(raw)
			if size < 0 {
				return errFields
			}
			raw = raw[size:]
			if number != nil {
				if err := number(n, v); err != nil {
					return err
				}
			}
		case protowire.Fixed32Type, protowire.Fixed64Type:
			size := protowire.ConsumeFieldValue(n, kind, raw)
			if size < 0 {
				return errFields
			}
			raw = raw[size:]
		default: // groups: nothing of ONNX has them
			return errFields
		}
	}
	return nil
}
