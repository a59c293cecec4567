//go:build !linux || !amd64

package main

import (
	"errors"
	"fmt"
)

func step(options, lines) ([]executed, error) {
	return nil, fmt.Errorf("stepping needs Linux on amd64: %w", errors.ErrUnsupported)
}
