//go:build !cgo

package onnx

import (
	"context"
	"errors"
	"io"
)

// native says whether this program can load the runtime.
const native = false

// RunChild is the main of the model's process, which this program cannot be.
func RunChild(context.Context, io.Reader, io.Writer) error { return errors.New(without) }
