package onnxtest

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a message of onnx.proto in the making.
type message []byte

func (m message) bytes(n protowire.Number, b []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, n, protowire.BytesType), b)
}

func (m message) text(n protowire.Number, s string) message { return m.bytes(n, []byte(s)) }

func (m message) number(n protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, n, protowire.VarintType), uint64(v))
}

// Numbers of types of elements.
const (
	elemFloat = 1
	elemInt   = 7
	elemBool  = 9
)

func floats(name string, dims []int64, data []float32) message {
	raw := make([]byte, 0, 4*len(data))
	for _, x := range data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return tensor(name, elemFloat, dims, raw)
}

func ints(name string, dims []int64, data ...int64) message {
	raw := make([]byte, 0, 8*len(data))
	for _, x := range data {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return tensor(name, elemInt, dims, raw)
}

func tensor(name string, elem int64, dims []int64, raw []byte) message {
	var m message
	for _, d := range dims {
		m = m.number(1, d)
	}
	return m.number(2, elem).text(8, name).bytes(9, raw)
}

// node is an operator; attributes follow.
func node(op, domain string, in, out []string, attributes ...message) message {
	var m message
	for _, s := range in {
		m = m.text(1, s)
	}
	for _, s := range out {
		m = m.text(2, s)
	}
	m = m.text(4, op)
	for _, a := range attributes {
		m = m.bytes(5, a)
	}
	return m.text(7, domain)
}

func integer(name string, v int64) message {
	return message(nil).text(1, name).number(3, v).number(20, 2)
}

func subgraph(name string, g message) message {
	return message(nil).text(1, name).bytes(6, g).number(20, 5)
}

// value is an input or output; a dimension below 1 is any number.
func value(name string, elem int64, dims ...int64) message {
	var shape message
	for _, d := range dims {
		dim := message(nil).text(2, "n")
		if d > 0 {
			dim = message(nil).number(1, d)
		}
		shape = shape.bytes(1, dim)
	}
	return message(nil).text(1, name).bytes(2, message(nil).bytes(1, message(nil).number(1, elem).bytes(2, shape)))
}

// Graph is a model that can be changed before it is written.
type Graph struct {
	Batch, Length int64   // of the inputs, 0: any
	Domain        string  // of the last operator
	External      bool    // the weights are said to be in another file
	Labels        int64   // said of the output
	Extra         []extra // what is added to the logits
	NaN           bool
}

type extra struct {
	nodes        []message
	initializers []message
	name         string // of a scalar that is added
}

// Usual is the model as it was trained.
func Usual(m *Model) []byte { return (&Graph{}).Bytes(m) }

// Bytes is the file.
func (g *Graph) Bytes(m *Model) []byte {
	e := make([]float32, 0, len(m.E)*dim)
	for _, row := range m.E {
		e = append(e, row[:]...)
	}
	w := make([]float32, 0, 2*dim)
	for _, row := range m.W {
		w = append(w, row[:]...)
	}
	b := m.B
	if g.NaN {
		b[0] = float32(math.NaN())
	}
	embedding := floats("embedding", []int64{int64(len(m.E)), dim}, e)
	if g.External {
		entry := message(nil).text(1, "location").text(2, "../../../../../../etc/passwd")
		embedding = message(nil).number(1, int64(len(m.E))).number(1, dim).number(2, elemFloat).text(8, "embedding").bytes(13, entry).number(14, 1)
	}
	last := "sum"
	nodes := []message{
		node("Gather", "", []string{"embedding", "input_ids"}, []string{"words"}),
		node("Cast", "", []string{"attention_mask"}, []string{"mask"}, integer("to", elemFloat)),
		node("Unsqueeze", "", []string{"mask", "two"}, []string{"wide"}),
		node("Mul", "", []string{"words", "wide"}, []string{"kept"}),
		node("ReduceSum", "", []string{"kept", "one"}, []string{"total"}, integer("keepdims", 0)),
		node("ReduceSum", "", []string{"mask", "one"}, []string{"count"}, integer("keepdims", 1)),
		node("Div", "", []string{"total", "count"}, []string{"mean"}),
		node("MatMul", "", []string{"mean", "weight"}, []string{"product"}),
		node("Add", "", []string{"product", "bias"}, []string{last}),
	}
	initializers := []message{embedding, floats("weight", []int64{dim, 2}, w), floats("bias", []int64{2}, b[:]), ints("one", []int64{1}, 1), ints("two", []int64{1}, 2)}
	for _, x := range g.Extra {
		nodes = append(nodes, x.nodes...)
		initializers = append(initializers, x.initializers...)
		nodes = append(nodes, node("Add", "", []string{last, x.name}, []string{last + "+"}))
		last += "+"
	}
	nodes = append(nodes, node("Identity", g.Domain, []string{last}, []string{"logits"}))
	var graph message
	for _, n := range nodes {
		graph = graph.bytes(1, n)
	}
	graph = graph.text(2, "test")
	for _, i := range initializers {
		graph = graph.bytes(5, i)
	}
	for _, in := range []string{"input_ids", "attention_mask", "token_type_ids"} {
		graph = graph.bytes(11, value(in, elemInt, g.Batch, g.Length))
	}
	graph = graph.bytes(12, value("logits", elemFloat, g.Batch, g.Labels))
	model := message(nil).number(1, 8).text(2, "onnxtest").bytes(7, graph).bytes(8, message(nil).text(1, "").number(2, 17))
	if g.Domain != "" {
		model = model.bytes(8, message(nil).text(1, g.Domain).number(2, 1))
	}
	return model
}

// fourth are operators that make the fourth power of the number of tokens: small for the text that a model is
// tried with, and more than any machine can take for a window.
func fourth() []message {
	return []message{
		node("Shape", "", []string{"input_ids"}, []string{"shape"}),
		node("Gather", "", []string{"shape", "zero1"}, []string{"length"}),
		node("Mul", "", []string{"length", "length"}, []string{"square"}),
		node("Mul", "", []string{"square", "square"}, []string{"fourth"}),
	}
}

// Endless is a model that counts: for seconds or years, as the text is long.
func Endless(m *Model) []byte {
	body := message(nil).
		bytes(1, node("Identity", "", []string{"go"}, []string{"go_on"})).
		bytes(1, node("Add", "", []string{"v", "half"}, []string{"w"})).
		text(2, "body").
		bytes(11, value("i", elemInt)).bytes(11, value("go", elemBool)).bytes(11, value("v", elemFloat)).
		bytes(12, value("go_on", elemBool)).bytes(12, value("w", elemFloat))
	nodes := append(fourth(), node("Loop", "", []string{"fourth", "yes", "nothing"}, []string{"counted"}, subgraph("body", body)),
		node("Mul", "", []string{"counted", "nothing"}, []string{"none"}))
	return (&Graph{Extra: []extra{{nodes, []message{ints("zero1", nil, 1), tensor("yes", elemBool, nil, []byte{1}), floats("nothing", nil, []float32{0}), floats("half", nil, []float32{0.5})}, "none"}}}).Bytes(m)
}

// Greedy is a model that wants memory: kilobytes or terabytes, as the text is long.
func Greedy(m *Model) []byte {
	nodes := append(fourth(), node("Unsqueeze", "", []string{"fourth", "zero"}, []string{"size"}),
		node("ConstantOfShape", "", []string{"size"}, []string{"much"}), node("ReduceSum", "", []string{"much"}, []string{"none"}, integer("keepdims", 0)))
	return (&Graph{Extra: []extra{{nodes, []message{ints("zero1", nil, 1), ints("zero", []int64{1}, 0)}, "none"}}}).Bytes(m)
}
