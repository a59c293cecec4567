//go:build !linux || !amd64

package main

import "errors"

func step(options) ([]uintptr, error) {
	return nil, errors.New("stepping needs Linux on amd64")
}
