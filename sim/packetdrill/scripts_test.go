package packetdrill

import (
	"os"
	"testing"
)

// TestScripts plays our scripts on the stack.
func TestScripts(t *testing.T) {
	Run(t, os.DirFS("testdata"), NewStack)
}
